import numpy as np
import pytest

from reid_gen.data.batch_sampler import rows_of_rank
from reid_gen.errors import UserError
from tests.data.real_format import make_market
from tests.training.small import train, write_config


def test_share_gives_every_row_to_one_process():
    parts = [rows_of_rank(np.arange(7), rank, 3) for rank in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(7))


@pytest.mark.parametrize(("count", "processes"), [(1, 1), (3, 2), (7, 4)])
def test_share_refuses_one_image_for_a_process(count, processes):
    with pytest.raises(UserError, match=f"{count} image.* {processes} process.*sampler.batch"):
        rows_of_rank(np.arange(count), 0, processes)


def test_training_runs_with_a_rest_of_one_image(tmp_path):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    stage = ("stages.0.epochs=1", "stages.0.iterations=1", "clustering.eps.value=0.9")
    plain = ("sampler.batch=17", "sampler.instances=null")
    train(config, *stage, *plain)

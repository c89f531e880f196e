"""Batches too small for batch norm."""

import math

import numpy as np
import pytest

from reid_gen.data.batch_sampler import rows_of_processes
from reid_gen.errors import UserError
from reid_gen.training.metrics_log import read_metrics
from tests.training.small import train, write_config

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [6, 7, 8])
def test_rows_of_processes_gives_each_equally_many(count):
    parts = rows_of_processes(np.arange(count), 3)
    np.testing.assert_array_equal(parts, [[0, 1], [2, 3], [4, 5]])


@pytest.mark.parametrize(("count", "processes"), [(1, 1), (3, 2), (7, 4)])
def test_rows_of_processes_refuses_one_image_for_a_process(count, processes):
    with pytest.raises(UserError, match=f"{count} image.* {processes} process.*sampler.batch"):
        rows_of_processes(np.arange(count), processes)


def test_train_joins_one_leftover_image_to_a_ghost_batch(tiny_run, tmp_path):
    config = write_config(tmp_path, tiny_run.parents[1] / "data")
    run = train(
        config,
        *("stages.0.epochs=1", "stages.0.iterations=1", "clustering.eps.value=0.9"),
        *("sampler.batch=17", "sampler.instances=null"),
    )
    assert math.isfinite(read_metrics(run)[1]["loss_prototype"])

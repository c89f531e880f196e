import numpy as np
import pytest

from reid_gen.data.batch_sampler import BatchSampler, steps_per_epoch
from reid_gen.data.sampling import shuffled_batches

LABELS = np.array([0, -1, 1, 0, -1, 1, 0, 1, -1, 0])


@pytest.mark.parametrize("instances", [None, 2])
def test_batch_sampler_never_samples_outliers(instances):
    pool = BatchSampler(None, batch=4, instances=instances)
    rows = np.concatenate(list(pool.clustered_batches(LABELS, 6, np.random.default_rng(0))))
    assert set(rows) <= set(np.flatnonzero(LABELS != -1))


def test_batch_sampler_passes_once_over_clustered_images():
    pool = BatchSampler(None, batch=3, instances=None)
    batches = list(pool.clustered_batches(LABELS, None, np.random.default_rng(0)))
    assert [len(rows) for rows in batches] == [3, 3]
    assert len(set(np.concatenate(batches))) == 6
    assert (steps_per_epoch(7, 3), steps_per_epoch(2, 3)) == (2, 1)


def test_batch_sampler_spreads_a_cluster_over_its_cameras():
    camids = np.array([0] * 8 + [1, 2])
    pool = BatchSampler(None, batch=3, instances=3, camids=camids)
    (rows,) = pool.clustered_batches(np.zeros(10, np.int64), 1, np.random.default_rng(0))
    assert set(camids[rows]) == {0, 1, 2}


def test_shuffled_batches_reshuffle_after_a_full_pass():
    rows = np.arange(6) + 10
    rng = np.random.default_rng(0)
    batches = list(shuffled_batches(rows, batch=3, iterations=4, rng=rng))
    epochs = [np.concatenate(batches[:2]), np.concatenate(batches[2:])]
    assert [sorted(epoch) for epoch in epochs] == [rows.tolist()] * 2
    assert epochs[0].tolist() != epochs[1].tolist()

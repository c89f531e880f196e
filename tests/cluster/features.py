"""Synthetic re-ID features: one cluster per person around a random direction."""

import numpy as np


def make_features(persons, each, size=32, noise=0.6, seed=0, common=0.0):
    """L2-normalised features [persons * each, size] float32, and their pids.

    ``common`` is an offset that all features share, as the features of a real encoder do.
    """
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(persons), each)
    centres = rng.standard_normal((persons, size))
    features = common + centres[pids] + noise * rng.standard_normal((len(pids), size))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32), pids

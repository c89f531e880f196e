"""Synthetic re-ID features, awkward ones, and every kind of bounds of their products."""

from functools import cache

import numpy as np
import torch

from reid_gen.cluster.knn.bounds import rounded_bounds
from reid_gen.cluster.knn.exact_cpu import SearchPlan
from reid_gen.cluster.knn.quantised import QuantisedBounds, quantise
from reid_gen.cluster.knn.subspace import subspace_bounds


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


def project(features, precision, d=7):
    """Bounds from d principal axes of every other row."""
    axes = np.linalg.svd(features[::2].astype(np.float64), full_matrices=False)[2][:d]
    basis = torch.from_numpy(axes.T.astype(np.float32))
    return subspace_bounds(features, basis, precision)


BOUNDS = {
    "bf16": lambda features: rounded_bounds(features, torch.bfloat16),
    "fp32": lambda features: rounded_bounds(features, torch.float32),
    "int8": lambda features: QuantisedBounds(quantise(features)),
    "subspace bf16": lambda features: project(features, torch.bfloat16),
    "subspace fp32": lambda features: project(features, torch.float32),
}
"""Kind of bounds -> function that computes them from features."""
SIEVE = "subspace fp32 and a sieve"
PLANS = (*BOUNDS, SIEVE)
"""Kinds of plans of a search."""


def plan(kind, features):
    """Plan of a kind, for features."""
    if kind == SIEVE:
        return SearchPlan(project(features, torch.float32), quantise(features))
    return SearchPlan(BOUNDS[kind](features))


@cache
def awkward_features():
    """Rows by what is awkward about them, [N, D] float32; most are not of length 1."""
    rng = np.random.default_rng(1)
    base = make_features(persons=25, each=10, size=50, noise=0.5)[0]
    near_ties = base[rng.integers(0, 4, 250)] + 1e-7 * rng.standard_normal((250, 50))
    norms = base * rng.choice([1e-30, 1e-3, 1.0, 300.0], (250, 1))
    zeros = base.copy()
    zeros[::7] = 0
    spikes = 0.01 * base
    spikes[np.arange(250), rng.integers(0, 3, 250)] = 1
    # Rounded to 8 bits or to bfloat16, each number loses half a unit, always towards 0.
    levels = rng.integers(0, 20, (250, 50)) + 0.49
    levels[:, 0] = 127
    halves = (1 + 0.99 * 2.0**-8) * 2.0 ** rng.integers(-2, 2, (250, 50))
    # Every other row has the same direction, in which the others do not extend.
    outside = base.copy()
    outside[:, 49] = np.tile([0, 0.5], 125)
    groups = {
        "near ties": near_ties,
        "norms": norms,
        "zeros": zeros,
        "spikes": spikes,
        "orthogonal": np.repeat(np.eye(50), 5, axis=0),
        "opposite": np.concatenate([base[:125], -base[:125]]),
        "shifted": base + 30.0,
        "rounded to 8 bits": levels,
        "rounded to bfloat16": halves,
        "outside the subspace": outside,
    }
    return {name: rows.astype(np.float32) for name, rows in groups.items()}

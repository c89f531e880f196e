"""Seeds derived from the position in the run, so that resuming needs no saved RNG state."""

from __future__ import annotations

import numpy as np
import torch


def seeded_rng(seed: int, *position: int) -> np.random.Generator:
    """Create a NumPy generator from the run's seed and a position in the run, and seed torch.

    Seeding torch as well (dropout, noise) makes a repeated epoch reproduce its results.

    Args:
        seed: Seed of the run.
        position: Integers that identify the position in the run: epoch, rank, purpose.

    Returns:
        A NumPy generator that depends on these numbers alone.
    """
    sequence = np.random.SeedSequence([seed, *position])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
    return np.random.default_rng(sequence)

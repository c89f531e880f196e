"""Randomness by name: a resumed run needs no saved generator state."""

from __future__ import annotations

import numpy as np
import torch


def seeded_rng(seed: int, *place: int) -> np.random.Generator:
    """A random source that depends on the seed and its place in the run alone.

    Also seeds torch (dropout), so that an epoch that is run again runs the same.

    Args:
        seed: Of the run.
        place: Numbers that name the place: epoch, process, purpose.

    Returns:
        A NumPy generator.
    """
    sequence = np.random.SeedSequence([seed, *place])
    torch.manual_seed(int(sequence.generate_state(1)[0]))
    return np.random.default_rng(sequence)

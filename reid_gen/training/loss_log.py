"""The losses of an epoch, read from the device every few steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.generators.protocol import Terms
from reid_gen.training.epoch_checks import check_finite
from reid_gen.training.stages import EpochPosition

READ_EVERY = 20
"""Steps between two readings of losses, for each of which the host waits for the device."""


class LossLog:
    """Collects loss terms on their device, and stops an epoch whose loss is not finite.

    Args:
        position: Position of the epoch, for messages.
    """

    def __init__(self, position: EpochPosition) -> None:
        self._position = position
        self._values: dict[str, list[float]] = {}
        self._unread: list[tuple[tuple[str, ...], Tensor]] = []
        self._steps = 0

    def add(self, terms: Terms) -> None:
        """Add the loss terms of a step, which may differ in their names from step to step.

        Raises:
            UserError: If a term is not finite in one of the steps that are read now.
        """
        if terms:
            stacked = torch.stack([value.detach().float() for value in terms.values()])
            self._unread.append((tuple(terms), stacked))
        else:
            self._unread.append(((), torch.empty(0)))
        if len(self._unread) == READ_EVERY:
            self._read()

    def means(self) -> dict[str, float]:
        """Mean of every term over the steps that have it.

        Raises:
            UserError: If a term is not finite in a step that was not read yet.
        """
        self._read()
        return {name: float(np.mean(values)) for name, values in self._values.items()}

    def _read(self) -> None:
        """Copy the terms of all unread steps to the host at once."""
        if not self._unread:
            return
        values = iter(torch.cat([stacked for _, stacked in self._unread]).tolist())
        for names, _ in self._unread:
            self._steps += 1
            terms = {name: next(values) for name in names}
            check_finite(terms, self._position, self._steps)
            for name, value in terms.items():
                self._values.setdefault(name, []).append(value)
        self._unread.clear()

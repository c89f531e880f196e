"""The losses of an epoch, read from the device every few steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.generators.protocol import Terms
from reid_gen.runtime.devices import Runtime
from reid_gen.training.epoch_checks import check_finite
from reid_gen.training.stages import EpochPosition

READ_EVERY = 20
"""Steps between two readings of losses, for each of which the host waits for the device."""


class LossLog:
    """Collects loss terms on their device, and stops an epoch whose loss is not finite.

    Args:
        position: Position of the epoch, for messages.
        runtime: Processes whose losses are logged together, so that all stop at the same step.
    """

    def __init__(self, position: EpochPosition, runtime: Runtime) -> None:
        self._position = position
        self._runtime = runtime
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
        """Mean of every term over the steps of all processes that have it.

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
        steps = [{name: next(values) for name in names} for names, _ in self._unread]
        for terms_of_processes in zip(*self._runtime.gather_objects(steps), strict=True):
            self._steps += 1
            for terms in terms_of_processes:
                check_finite(terms, self._position, self._steps)
                for name, value in terms.items():
                    self._values.setdefault(name, []).append(value)
        self._unread.clear()

"""Exponential moving average (EMA) of a network's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class ExponentialAverage(AveragedModel):
    """EMA of a network, whose update does not make the host wait for the device.

    ``AveragedModel`` reads its number of updates from the device at every update; here the host
    counts them. Integer buffers are copied.

    Args:
        network: Network that is averaged; the average starts at its weights.
        decay: Function from the number of updates so far to the decay of the next, in 0..1.
        use_buffers: Whether floating-point buffers are averaged too, and not copied.
    """

    def __init__(
        self, network: nn.Module, decay: Callable[[int], float], use_buffers: bool
    ) -> None:
        super().__init__(network, use_buffers=use_buffers)
        self._decay = decay
        self._updates: int | None = None
        self.register_load_state_dict_post_hook(_forget_updates)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with a network's current weights, after an optimiser step."""
        if self._updates is None:
            self._updates = int(self.n_averaged)  # waits once, after a start or a checkpoint
        pairs: list[tuple[torch.Tensor, torch.Tensor]] = [
            *zip(self.module.parameters(), model.parameters(), strict=True)
        ]
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        copied = [pair for pair in buffers if not (self.use_buffers and _is_float(pair))]
        pairs += [pair for pair in buffers if self.use_buffers and _is_float(pair)]
        if self._updates == 0:  # the average starts at the current weights
            copied, pairs = [*pairs, *copied], []
        if pairs:
            averages, current = zip(*pairs, strict=True)
            torch._foreach_lerp_(averages, current, 1 - self._decay(self._updates))
        for average, value in copied:
            average.copy_(value)
        self.n_averaged += 1
        self._updates += 1

    def reset(self, network: nn.Module) -> None:
        """Set the average to a network's current weights."""
        self.n_averaged.zero_()
        self._updates = 0
        self.update_parameters(network)


def _forget_updates(module: nn.Module, _: object) -> None:
    assert isinstance(module, ExponentialAverage)
    module._updates = None


def _is_float(pair: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return pair[0].is_floating_point()

"""EMA (exponential moving average) of the identity encoder, which conditions a generator."""

from __future__ import annotations

from typing import cast

from torch import nn

from reid_gen.models.ema import ExponentialAverage
from reid_gen.models.encoder import IdentityEncoder


class EmaEncoder(nn.Module):
    """Exponential moving average of an encoder's weights and buffers; always in evaluation mode.

    A generator that was trained on the features of a frozen encoder degrades while the encoder is
    trained further. It can keep up with the features of an EMA encoder; no gradient reaches the
    encoder. Source: own, after the mean teacher (Tarvainen and Valpola, NeurIPS 2017).

    Args:
        encoder: Encoder whose weights are averaged, and the initial value of the average.
        momentum: EMA momentum per step, 0..1: 1 never changes the average.
    """

    def __init__(self, encoder: IdentityEncoder, momentum: float) -> None:
        super().__init__()
        self.average = ExponentialAverage(encoder, lambda _: momentum, use_buffers=True)
        self.average.requires_grad_(False).eval()
        self.reset(encoder)

    @property
    def encoder(self) -> IdentityEncoder:
        """The encoder with averaged weights."""
        return cast(IdentityEncoder, self.average.module)

    def reset(self, encoder: IdentityEncoder) -> None:
        """Set the average to the encoder's current weights."""
        self.average.reset(encoder)

    def update(self, encoder: IdentityEncoder) -> None:
        """Update the average with the encoder's current weights, after an optimiser step."""
        self.average.update_parameters(encoder)

"""A slow mean of the identity encoder, by which a generator draws while the encoder learns."""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reid_gen.models.encoder import IdentityEncoder


class EmaEncoder(nn.Module):
    """Running average of an encoder's weights and statistics; always in evaluation mode.

    A generator that learnt to draw by a frozen encoder draws worse and worse by one that goes on
    learning. It can keep up with a slow mean, and no gradient passes between the two. Source: own,
    after the mean teacher (Tarvainen and Valpola, NeurIPS 2017).

    Args:
        encoder: Where the mean begins.
        momentum: Share of the mean that stays in a step, 0..1.
    """

    def __init__(self, encoder: IdentityEncoder, momentum: float) -> None:
        super().__init__()
        rule = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(encoder, multi_avg_fn=rule, use_buffers=True)
        self.average.requires_grad_(False).eval()
        self.reset(encoder)

    @property
    def encoder(self) -> IdentityEncoder:
        """The mean itself."""
        return cast(IdentityEncoder, self.average.module)

    def reset(self, encoder: IdentityEncoder) -> None:
        """Begin again with an encoder as it is."""
        self.average.n_averaged.zero_()
        self.update(encoder)

    def update(self, encoder: IdentityEncoder) -> None:
        """Take in the encoder after a step."""
        self.average.update_parameters(encoder)

"""Pictures that have an image's content and a layout of their own (CLSP, ECCV 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from reid_gen.generators.pixel_diffusion.conditioning import Looks
from reid_gen.generators.pixel_diffusion.sampler import Predict


@contextmanager
def interpolated(bottleneck: nn.Module, share: float) -> Iterator[None]:
    """Within, the first half of a batch takes its bottleneck from the second half.

    ``h <- share h + (1 - share) h_anchor`` (CLSP, eq. 5). Skip connections stay the picture's own,
    so that layout is its own and content the anchor's.

    Args:
        bottleneck: Of a U-Net: what lies between its encoder and its decoder.
        share: Of the picture's own, in 0..1; 1 changes nothing.
    """

    def blend(_: nn.Module, __: object, output: Tensor) -> Tensor:
        own, anchor = output.chunk(2)
        return torch.cat([share * own + (1 - share) * anchor, anchor])

    handle = bottleneck.register_forward_hook(blend)
    try:
        yield
    finally:
        handle.remove()


def anchored(
    predict: Predict,
    bottleneck: nn.Module,
    schedule: DDPMScheduler,
    anchor: Tensor,
    looks: Looks,
    share: float,
) -> Predict:
    """A network that draws from the content of other images.

    At every step the anchor gets as much fresh noise as the picture has.

    Args:
        predict: The network.
        bottleneck: Inside it.
        schedule: That it was trained on.
        anchor: Images whose content is taken, in 0..1, [B, 3, H, W].
        looks: What the network is told of these.
        share: As in :func:`interpolated`; the authors take 0.1.

    Returns:
        The same network, so anchored, for B pictures.
    """

    def predict_anchored(noisy: Tensor, time: Tensor, asked: Looks) -> Tensor:
        noise = torch.randn(anchor.shape).to(noisy.device)
        beside = schedule.add_noise(2 * anchor - 1, noise, time.long())
        with interpolated(bottleneck, share):
            both = predict(torch.cat([noisy, beside]), time.repeat(2), asked.beside(looks))
        return both[: len(noisy)]

    return predict_anchored

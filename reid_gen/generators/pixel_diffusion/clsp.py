"""Content transfer of CLSP (ECCV 2024): an anchor image's content in another layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from reid_gen.generators.pixel_diffusion.conditioning import Conditioning
from reid_gen.generators.pixel_diffusion.sampler import PredictX0
from reid_gen.runtime.transfer import move


@contextmanager
def interpolate_bottleneck(bottleneck: nn.Module, share: float) -> Iterator[None]:
    """Blend the bottleneck of a batch's first half with that of its second half, the anchors.

    ``h <- share h + (1 - share) h_anchor`` (CLSP, eq. 5). Skip connections are not blended, so
    the layout stays that of the first half while the content comes from the anchors.

    Args:
        bottleneck: Module between the U-Net's encoder and decoder.
        share: Share of the first half's own features, in 0..1; 1 changes nothing.
    """

    def blend(_: nn.Module, __: object, output: Tensor) -> Tensor:
        h, h_anchor = output.chunk(2)
        return torch.cat([share * h + (1 - share) * h_anchor, h_anchor])

    handle = bottleneck.register_forward_hook(blend)
    try:
        yield
    finally:
        handle.remove()


def anchor_prediction(
    predict: PredictX0,
    bottleneck: nn.Module,
    schedule: DDPMScheduler,
    anchor: Tensor,
    anchor_condition: Conditioning,
    share: float,
) -> PredictX0:
    """Make the denoising network take the content of anchor images.

    At every step the anchors get fresh noise of the same level as the sampled images.

    Args:
        predict: The denoising network.
        bottleneck: Bottleneck module of the network.
        schedule: Noise schedule that the network was trained on.
        anchor: Anchor images in 0..1, [B, 3, H, W].
        anchor_condition: Conditioning of the anchor images.
        share: As in :func:`interpolate_bottleneck`; the authors use 0.1.

    Returns:
        The network for B images, one per anchor.
    """

    def predict_anchored(x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        noise = move(torch.randn(anchor.shape), x_t.device)
        anchor_t = schedule.add_noise(2 * anchor - 1, noise, t.long())
        with interpolate_bottleneck(bottleneck, share):
            x0_hat = predict(
                torch.cat([x_t, anchor_t]), t.repeat(2), condition.concatenate(anchor_condition)
            )  # [2 B, 3, H, W]
        return x0_hat[: len(x_t)]

    return predict_anchored

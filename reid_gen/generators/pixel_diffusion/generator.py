"""A small pixel-space diffusion model that renders people in rotated body poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.loaders import ConditionInputs
from reid_gen.generators.pixel_diffusion.clsp import anchor_prediction
from reid_gen.generators.pixel_diffusion.conditioning import Conditioning, expand_to_views
from reid_gen.generators.pixel_diffusion.pipeline import PersonPipeline
from reid_gen.generators.pixel_diffusion.sampler import (
    TRAIN_TIMESTEPS,
    Guidance,
    make_schedule,
    sample,
)
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.generators.protocol import EncodeFn, Terms, ViewInputs, ViewOutput, Views
from reid_gen.generators.turned_maps import TURNED, UNTURNED, TurnedMaps
from reid_gen.models.ema import ExponentialAverage
from reid_gen.models.encoder import EncoderOutput
from reid_gen.runtime.transfer import move
from reid_gen.types import Image, Uint8Array

MAX_SNR = 5.0
"""Signal-to-noise ratio at which the loss weight is clipped."""
MAX_BATCH = 64
"""Images that are sampled together."""


class DiffusionPainter(nn.Module):
    """Samples images with the EMA of the denoising network.

    Args:
        unet: The denoising network that is trained.
        decay: Decay of the EMA; it warms up over the first ``9 decay / (1 - decay)`` steps.
        guidance: Classifier-free guidance.
        steps: Steps of the sampler.
    """

    def __init__(self, unet: PersonUNet, decay: float, guidance: Guidance, steps: int) -> None:
        super().__init__()
        self.unet = unet
        # The decay warms up, so that the average forgets the untrained network.
        self.average = ExponentialAverage(
            unet, lambda updates: min(decay, (1 + updates) / (10 + updates)), use_buffers=False
        )
        self.average.requires_grad_(False)
        self.schedule = make_schedule()
        self.guidance = guidance
        self.steps = steps

    @torch.no_grad()
    def render(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Render B people on V body maps each, [B, V, C, H, W]: about 0..1, [B, V, 3, H, W]."""
        condition = expand_to_views(encoded, maps)
        images = [
            sample(self._predict, self.schedule, chunk, self.guidance, self.steps)
            for chunk in _split(condition)
        ]
        return torch.cat(images).view(*maps.shape[:2], 3, *maps.shape[3:])

    @torch.no_grad()
    def render_anchored(
        self,
        images: Tensor,
        encoded: EncoderOutput,
        anchor_maps: Tensor,
        maps: Tensor,
        share: float,
    ) -> Tensor:
        """Render body maps with the content of anchor images (CLSP).

        The identity features condition the anchors alone; the rendered images are conditioned on
        their body maps and take the person from the anchors' bottleneck.

        Args:
            images: Anchor images in 0..1, [B, 3, H, W].
            encoded: Encoder output of the anchor images, [B].
            anchor_maps: Body maps of the anchor images, [B, C, H, W].
            maps: Body maps to render, [B, V, C, H, W].
            share: Share of the rendered image's own bottleneck features, in 0..1.

        Returns:
            Images, about 0..1, [B, V, 3, H, W].
        """
        views = []
        network = self.average.module
        assert isinstance(network, PersonUNet)
        anchor = expand_to_views(encoded, anchor_maps.unsqueeze(1))
        for view_maps in maps.unbind(1):
            condition = Conditioning(view_maps, anchor.parts, anchor.feature).drop(False, True)
            bottleneck = network.unet.mid_block
            predict = anchor_prediction(
                self._predict, bottleneck, self.schedule, images, anchor, share
            )
            views.append(sample(predict, self.schedule, condition, Guidance(), self.steps))
        return torch.stack(views, dim=1)

    def _predict(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        x0_hat: Tensor = self.average(x_t, t, condition)
        return x0_hat


class PixelDiffusion:
    """Trains the denoising network, and generates views with its EMA.

    Views are sampled without gradient, and only where they are contrasted, because sampling takes
    many network passes; it is cheaper to train the model in a stage of its own.

    Args:
        painter: Denoising network and sampler.
        map_renderer: Renderer of body maps.
        condition_dropout: Probability that the body map, and independently the identity features,
            are dropped in training; classifier-free guidance needs it.
    """

    def __init__(
        self, painter: DiffusionPainter, map_renderer: TurnedMaps, condition_dropout: float
    ) -> None:
        self.painter = painter
        self.networks: nn.Module = painter
        self.discriminator: nn.Module = nn.Module()
        self.map_renderer = map_renderer
        self.condition_dropout = condition_dropout

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Mark the images with a confident body, [N]."""
        return self.map_renderer.usable(images)

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Render unturned and turned body maps."""
        return self.map_renderer(images, pixels, rng)

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        requires_grad: bool,
        output: ViewOutput,
    ) -> Views:
        """Sample one view per image; none if the contrastive loss needs none."""
        if output is ViewOutput.NONE:
            return Views(sources.images[:, None][:, :0])  # [b, 0, 3, H, W]
        view = self.painter.render(encoded, sources.conditions[TURNED].unsqueeze(1))
        return Views(view, encode(view[:, 0])[0] if output is ViewOutput.FEATURES else None)

    @torch.no_grad()
    def preview(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Show eight views, 45 degrees apart; the first is in the pose of the image."""
        (encoded,) = encode(images)
        return self.painter.render(encoded, self.map_renderer.around(images, keys))

    def save(self, folder: Path) -> None:
        """Write the EMA network to ``pipeline/`` in diffusers' format."""
        network = self.painter.average.module
        assert isinstance(network, PersonUNet)
        schedule = self.painter.schedule
        pipeline = PersonPipeline(network.unet, schedule, network.patch_size, network.painted)
        pipeline.save_pretrained(str(folder / "pipeline"))

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Return no terms: there is no discriminator."""
        return {}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Compute ``(1 + min(SNR, 5)) |x0 - x0_hat(x_t, t)|^2`` at a random timestep t.

        Unclipped it is the squared error of v (Salimans and Ho, ICLR 2022); the clipping is
        Min-SNR's (Hang et al., ICCV 2023). Also updates the EMA, before the optimiser step.
        """
        painter = self.painter
        painter.average.update_parameters(painter.unet)
        x0 = 2 * sources.images - 1  # [b, 3, H, W]
        count, device = len(x0), x0.device
        t = move(torch.randint(0, TRAIN_TIMESTEPS, (count,)), device)
        noise = move(torch.randn(x0.shape), device)
        x_t = painter.schedule.add_noise(x0, noise, t)
        drop_body, drop_person = move(torch.rand(2, count) < self.condition_dropout, device)
        condition = Conditioning(
            sources.conditions[UNTURNED], encoded.parts.float(), encoded.feature
        ).drop(drop_body, drop_person)
        x0_hat = painter.unet(x_t, t, condition)
        error = (x0_hat.float() - x0).square().mean(dim=(1, 2, 3))  # [b]
        alpha_bar = move(painter.schedule.alphas_cumprod, device)[t]  # [b]
        snr = alpha_bar / (1 - alpha_bar)
        return {"noise": ((1 + snr.clamp(max=MAX_SNR)) * error).mean()}


def _split(condition: Conditioning) -> list[Conditioning]:
    """Split a conditioning into chunks of at most ``MAX_BATCH`` images."""
    tensors = (condition.maps, condition.parts, condition.feature)
    chunks = zip(*(torch.split(values, MAX_BATCH) for values in tensors), strict=True)
    return [Conditioning(*chunk) for chunk in chunks]

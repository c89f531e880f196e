"""A small diffusion model on pixels that draws the person of an image on the body turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from reid_gen.data.sidecar import ConditionInputs
from reid_gen.generators.pixel_diffusion.clsp import anchored
from reid_gen.generators.pixel_diffusion.conditioning import Looks, looks_of
from reid_gen.generators.pixel_diffusion.pipeline import PersonPipeline
from reid_gen.generators.pixel_diffusion.sampler import (
    STEPS,
    Guidance,
    make_schedule,
    sample,
)
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.generators.protocol import EncodeFn, Terms, ViewInputs, ViewOutput, Views
from reid_gen.generators.turned_maps import HERE, TURNED, TurnedMaps
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Image, Uint8Array

Tensors = list[Tensor] | tuple[Tensor, ...]
MOST_SNR = 5.0
"""Ratio of signal to noise beyond which an error counts no more."""
AT_ONCE = 64
"""Pictures that are drawn together."""


class DiffusionPainter(nn.Module):
    """Draws people from noise with the running average of a trained network.

    Args:
        unet: What is trained.
        decay: Of the average; it is less in the first ``9 decay / (1 - decay)`` steps.
        guidance: Classifier-free guidance.
        steps: Of the sampler.
    """

    def __init__(self, unet: PersonUNet, decay: float, guidance: Guidance, steps: int) -> None:
        super().__init__()
        self.unet = unet
        self.average = AveragedModel(unet, multi_avg_fn=_running(decay))
        self.average.requires_grad_(False)
        self.schedule = make_schedule()
        self.guidance = guidance
        self.steps = steps

    @torch.no_grad()
    def turned(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Draw B people on V maps each, [B, V, C, H, W]; constants [B, V, 3, H, W], about 0..1."""
        looks = looks_of(encoded, maps)
        drawn = [
            sample(self._predict, self.schedule, part, self.guidance, self.steps)
            for part in _in_parts(looks)
        ]
        return torch.cat(drawn).view(*maps.shape[:2], 3, *maps.shape[3:])

    @torch.no_grad()
    def anchored(
        self, images: Tensor, encoded: EncoderOutput, here: Tensor, maps: Tensor, share: float
    ) -> Tensor:
        """Draw bodies with the content of images and no other word of the person (CLSP).

        Args:
            images: In 0..1, [B, 3, H, W].
            encoded: Of these.
            here: Their body maps, [B, C, H, W].
            maps: To draw, [B, V, C, H, W].
            share: Of a picture's own content, in 0..1.

        Returns:
            Constants, about 0..1, [B, V, 3, H, W].
        """
        drawn = []
        network = self.average.module
        assert isinstance(network, PersonUNet)
        own = looks_of(encoded, here.unsqueeze(1))
        for view in maps.unbind(1):
            asked = Looks(view, own.parts, own.feature).without(False, True)
            middle = network.unet.mid_block
            predict = anchored(self._predict, middle, self.schedule, images, own, share)
            drawn.append(sample(predict, self.schedule, asked, Guidance(), self.steps))
        return torch.stack(drawn, dim=1)

    def _predict(self, noisy: Tensor, time: Tensor, looks: Looks) -> Tensor:
        clean: Tensor = self.average(noisy, time, looks)
        return clean


class PixelDiffusion:
    """Trains a network to remove noise from images, given their bodies and looks.

    Its views are drawn without gradient, and only where they are contrasted, because drawing takes
    many passes: the cheap way is to let it learn in a stage of its own.

    Args:
        painter: What draws.
        maps: What the loader brings.
        drop: How often the body, and how often the person, is hidden in training, which guidance
            needs.
    """

    def __init__(
        self, painter: DiffusionPainter, maps: TurnedMaps, condition_dropout: float
    ) -> None:
        self.painter = painter
        self.networks: nn.Module = painter
        self.discriminator: nn.Module = nn.Module()
        self.maps = maps
        self.condition_dropout = condition_dropout

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images have a body to trust, [N]."""
        return self.maps.usable(images)

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Maps of bodies as they are and turned."""
        return self.maps(images, pixels, rng)

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        learning: bool,
        wanted: ViewOutput,
    ) -> Views:
        """One view per image at a random angle, or none if it would not be contrasted."""
        if wanted is ViewOutput.NONE:
            return Views(sources.images[:, None][:, :0])
        view = self.painter.turned(encoded, sources.conditions[TURNED].unsqueeze(1))
        return Views(view, encode(view[:, 0])[0] if wanted is ViewOutput.FEATURES else None)

    @torch.no_grad()
    def show(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Eight turns by 45 degrees, the first as the image is."""
        (seen,) = encode(images)
        return self.painter.turned(seen, self.maps.around(images, keys))

    def save(self, folder: Path) -> None:
        """Write the average as ``pipeline/``, which diffusers reads."""
        average = self.painter.average.module
        assert isinstance(average, PersonUNet)
        schedule = self.painter.schedule
        pipeline = PersonPipeline(average.unet, schedule, average.patch_size, average.painted)
        pipeline.save_pretrained(str(folder / "pipeline"))

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """None: there is no discriminator."""
        return {}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """``(1 + min(SNR, 5)) |x - x(x_t, t)|^2`` at a random time.

        Without the cut it would be the squared error of v (Salimans and Ho, ICLR 2022); the cut is
        that of Min-SNR (Hang et al., ICCV 2023). The average takes in the network as the step
        before left it.
        """
        painter = self.painter
        painter.average.update_parameters(painter.unet)
        clean = 2 * sources.images - 1
        count, device = len(clean), clean.device
        time = torch.randint(0, STEPS, (count,)).to(device)
        noise = torch.randn(clean.shape).to(device)
        noisy = painter.schedule.add_noise(clean, noise, time)
        hidden = (torch.rand(2, count) < self.condition_dropout).to(device)
        looks = Looks(sources.conditions[HERE], encoded.parts.float(), encoded.feature).without(
            *hidden
        )
        found = painter.unet(noisy, time, looks)
        wrong = (found.float() - clean).square().mean(dim=(1, 2, 3))
        kept = painter.schedule.alphas_cumprod.to(device)[time]
        return {"noise": ((1 + (kept / (1 - kept)).clamp(max=MOST_SNR)) * wrong).mean()}


def _running(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential average that at first is short, so that it forgets the untrained network."""

    def take_in(average: Tensors, current: Tensors, count: Tensor | int) -> None:
        keep = min(decay, float((1 + count) / (10 + count)))
        torch._foreach_lerp_(average, current, 1 - keep)

    return take_in


def _in_parts(looks: Looks) -> list[Looks]:
    every = (looks.maps, looks.parts, looks.feature)
    triples = zip(*(torch.split(values, AT_ONCE) for values in every), strict=True)
    return [Looks(*triple) for triple in triples]

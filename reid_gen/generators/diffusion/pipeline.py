"""The trained model as a folder that diffusers reads."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from reid_gen.generators.diffusion.looks import Looks
from reid_gen.generators.diffusion.sampler import Guidance, sample
from reid_gen.generators.diffusion.unet import denoise


class PersonPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Draws people; ``PersonPipeline.from_pretrained(FOLDER)`` gives what training saved.

    Args:
        unet: The network.
        scheduler: That it was trained on.
        shuffle: Side of the blocks of pixels that are its channels.
    """

    def __init__(
        self, unet: UNet2DConditionModel, scheduler: DDPMScheduler, shuffle: int = 4
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(shuffle=shuffle)

    @torch.no_grad()
    def __call__(self, looks: Looks, guidance: Guidance, steps: int = 10) -> Tensor:
        """Draw pictures about 0..1, [B, 3, H, W], of B looks; torch's seed decides the noise."""

        def predict(noisy: Tensor, time: Tensor, asked: Looks) -> Tensor:
            return denoise(self.unet, self.config.shuffle, noisy, time, asked)

        return sample(predict, self.scheduler, looks, guidance, steps)


def save_pipeline(
    unet: UNet2DConditionModel, scheduler: DDPMScheduler, shuffle: int, folder: Path
) -> None:
    """Write a pipeline folder: ``model_index.json``, ``unet/`` and ``scheduler/``."""
    PersonPipeline(unet, scheduler, shuffle).save_pretrained(str(folder))

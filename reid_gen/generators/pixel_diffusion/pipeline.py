"""The trained model as a folder that diffusers reads."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from reid_gen.generators.pixel_diffusion.conditioning import Looks
from reid_gen.generators.pixel_diffusion.sampler import Guidance, sample
from reid_gen.generators.pixel_diffusion.unet import denoise


class PersonPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Draws people; ``PersonPipeline.from_pretrained(FOLDER)`` gives what training saved.

    Args:
        unet: The network.
        scheduler: That it was trained on.
        shuffle: Side of the blocks of pixels that are its channels.
        painted: Whether it adds to the colours that maps bear.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: DDPMScheduler,
        patch_size: int = 4,
        painted: bool = False,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(patch_size=patch_size, painted=painted)

    @torch.no_grad()
    def __call__(self, looks: Looks, guidance: Guidance, steps: int = 10) -> Tensor:
        """Draw pictures about 0..1, [B, 3, H, W], of B looks; torch's seed decides the noise."""

        def predict(noisy: Tensor, time: Tensor, asked: Looks) -> Tensor:
            patch_size, painted = self.config.patch_size, self.config.painted
            return denoise(self.unet, patch_size, painted, noisy, time, asked)

        return sample(predict, self.scheduler, looks, guidance, steps)

"""The trained diffusion model as a pipeline of diffusers."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from reid_gen.generators.pixel_diffusion.conditioning import Conditioning
from reid_gen.generators.pixel_diffusion.sampler import Guidance, sample
from reid_gen.generators.pixel_diffusion.unet import predict_x0


class PersonPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Samples images of people; ``PersonPipeline.from_pretrained(FOLDER)`` loads a trained one.

    Args:
        unet: The U-Net of a :class:`PersonUNet`.
        scheduler: Noise schedule that the U-Net was trained on.
        patch_size: Side of the unshuffled patches in pixels.
        painted: Whether the U-Net's output is added to the colours of painted body maps.
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
    def __call__(self, condition: Conditioning, guidance: Guidance, steps: int = 10) -> Tensor:
        """Sample images, about 0..1, [B, 3, H, W]; the noise follows torch's global seed."""

        def predict(x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
            patch_size, painted = self.config.patch_size, self.config.painted
            return predict_x0(self.unet, patch_size, painted, x_t, t, condition)

        return sample(predict, self.scheduler, condition, guidance, steps)

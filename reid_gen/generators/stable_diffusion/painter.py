"""Stable Diffusion with a ControlNet or a T2I-Adapter, by diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
)
from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin
from PIL import Image
from torch import Tensor

from reid_gen.choices import ControlKind, DiffusionFamily, Precision
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.compatibility import (
    CONTROL_MODELS,
    refuse_base,
    refuse_controls,
)
from reid_gen.generators.stable_diffusion.hub import load, loading, locate
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.types import Uint8Array


class AdapterPipeline(StableDiffusionAdapterPipeline, StableDiffusionLoraLoaderMixin):  # type: ignore[misc]
    """Reads a low-rank adaptation, which diffusers' own pipeline for T2I-Adapters cannot."""


PIPELINES = {
    ("sd", "controlnet"): StableDiffusionControlNetPipeline,
    ("sd", "adapter"): AdapterPipeline,
    ("sdxl", "controlnet"): StableDiffusionXLControlNetPipeline,
    ("sdxl", "adapter"): StableDiffusionXLAdapterPipeline,
}
IMAGE_PROMPT = {
    "sd": ("models", "ip-adapter_sd15.safetensors"),
    "sdxl": ("sdxl_models", "ip-adapter_sdxl.safetensors"),
}
"""Subfolder and file in h94/IP-Adapter; its image encoder is in the same subfolder."""
LORA_ADVICE = "give the folder that reid-gen tune --prompt made for this base"


@dataclass(frozen=True)
class Controlled:
    """What is loaded, and how it draws.

    Attributes:
        family: Of the base model.
        base: Hub id or folder.
        control: What ``controls`` are.
        controls: Hub ids or folders.
        scales: How strong each is.
        control_end: Share of the steps after which each no longer counts; T2I-Adapters always do.
        image_prompt: Hub id or folder of an IP-Adapter, subfolder, file and scale; None for a
            subfolder or file is the one of ``IMAGE_PROMPT``.
        lora: Folder of a low-rank adaptation.
        height: That it draws at.
        width: That it draws at.
        steps: Of DPM-Solver++.
        guidance: Classifier-free guidance.
        negative: What must not be seen.
        precision: Of all networks; float32 where the device has no instructions for bfloat16.
    """

    family: DiffusionFamily
    base: str
    control: ControlKind
    controls: tuple[str, ...]
    scales: tuple[float, ...]
    control_end: tuple[float, ...]
    image_prompt: tuple[str, str | None, str | None, float] | None
    lora: Path | None
    height: int
    width: int
    steps: int
    guidance: float
    negative: str
    precision: Precision


class StablePainter:
    """Draws people on pictures of bodies, in words, or after an image.

    Args:
        card: What to load.
        device: Where to draw.

    Raises:
        UserError: If weights cannot be had, do not fit each other, or cannot draw this size.
    """

    def __init__(self, card: Controlled, device: torch.device) -> None:
        self.card = card
        if card.lora is not None and not card.lora.is_dir():
            raise UserError(f"no folder of a low-rank adaptation at {card.lora}; {LORA_ADVICE}")
        unet = refuse_base(card.family, card.base, card.height, card.width)
        refuse_controls(card.control, card.controls, card.base, unet)
        self.dtype = resolve_dtype(card.precision, device)
        loaded = [
            load(CONTROL_MODELS[card.control], source, self.dtype) for source in card.controls
        ]
        extras: dict[str, Any] = {card.control: loaded if len(loaded) > 1 else loaded[0]}
        if card.family == "sd":
            extras["safety_checker"] = None
        kind = PIPELINES[card.family, card.control]
        self.pipeline = load(kind, card.base, self.dtype, **extras)
        if card.image_prompt is not None:
            self._add_image_prompt(*card.image_prompt)
        if card.lora is not None:
            self._add_lora(card.lora)
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            self.pipeline.scheduler.config, algorithm_type="dpmsolver++", use_karras_sigmas=True
        )
        self.pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(
        self,
        shown: Sequence[Uint8Array],
        seeds: Sequence[int],
        prompt: str | Tensor,
        person: Uint8Array | None = None,
    ) -> Tensor:
        """Draw one body several times.

        Args:
            shown: The picture of the body for each control, [H, W, 3].
            seeds: Of m pictures.
            prompt: In words, or as what a text encoder would make of them, [T, C].
            person: Image prompt, [h, w, 3].

        Returns:
            About 0..1, [m, 3, H, W].
        """
        card = self.card
        pictures = [Image.fromarray(pixels) for pixels in shown]
        words: dict[str, Any] = {"prompt": prompt, "negative_prompt": card.negative}
        if isinstance(prompt, Tensor):
            embeds = prompt.unsqueeze(0).to(self.pipeline.device, self.dtype)
            words = {"prompt_embeds": embeds, "negative_prompt_embeds": torch.zeros_like(embeds)}
        if card.image_prompt is not None and person is not None:
            words["ip_adapter_image"] = Image.fromarray(person)
        one = len(pictures) == 1
        if card.control == "controlnet":
            words["controlnet_conditioning_scale"] = card.scales[0] if one else list(card.scales)
            words["control_guidance_end"] = card.control_end[0] if one else list(card.control_end)
        else:
            words["adapter_conditioning_scale"] = card.scales[0]
        drawn = self.pipeline(
            image=pictures[0] if one else pictures,
            height=card.height,
            width=card.width,
            num_inference_steps=card.steps,
            guidance_scale=card.guidance,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
            **words,
        ).images
        return torch.from_numpy(drawn).permute(0, 3, 1, 2).float()

    def _add_image_prompt(
        self, source: str, subfolder: str | None, file: str | None, scale: float
    ) -> None:
        own_subfolder, own_file = IMAGE_PROMPT[self.card.family]
        subfolder, file = subfolder or own_subfolder, file or own_file
        advice = "check model.image_prompt.weights, subfolder and file"
        place, here = locate(source)
        with loading(f"{source}/{subfolder}/{file}", "an IP-Adapter", advice):
            self.pipeline.load_ip_adapter(
                place, subfolder=subfolder, weight_name=file, local_files_only=here
            )
            self._try_image_prompt()
        self.pipeline.set_ip_adapter_scale(scale)

    @torch.no_grad()
    def _try_image_prompt(self) -> None:
        """An image encoder that the adapter was not made for is noticed only when it is used."""
        pipeline, blank = self.pipeline, Image.new("RGB", (32, 32))
        seen = pipeline.prepare_ip_adapter_image_embeds(blank, None, pipeline.device, 1, False)
        pipeline.unet.encoder_hid_proj(seen)

    def _add_lora(self, folder: Path) -> None:
        with loading(str(folder), "a low-rank adaptation", LORA_ADVICE):
            self.pipeline.load_lora_weights(str(folder))
        if not self.pipeline.get_list_adapters():
            raise UserError(f"{folder} adapts no layer of {self.card.base}; {LORA_ADVICE}")

"""Stable Diffusion with ControlNets or a T2I-Adapter, on diffusers' pipelines."""

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
    check_base,
    check_controls,
)
from reid_gen.generators.stable_diffusion.hub import load_pretrained, locate, user_error_on_failure
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.types import Uint8Array


class AdapterPipeline(StableDiffusionAdapterPipeline, StableDiffusionLoraLoaderMixin):  # type: ignore[misc]
    """T2I-Adapter pipeline that can load LoRA weights, which diffusers' own cannot."""


PIPELINES = {
    ("sd", "controlnet"): StableDiffusionControlNetPipeline,
    ("sd", "adapter"): AdapterPipeline,
    ("sdxl", "controlnet"): StableDiffusionXLControlNetPipeline,
    ("sdxl", "adapter"): StableDiffusionXLAdapterPipeline,
}
IP_ADAPTER_FILES = {
    "sd": ("models", "ip-adapter_sd15.safetensors"),
    "sdxl": ("sdxl_models", "ip-adapter_sdxl.safetensors"),
}
"""Subfolder and file in h94/IP-Adapter; the subfolder also holds the image encoder."""
LORA_ADVICE = "give the folder that reid-gen tune --prompt made for this base"


@dataclass(frozen=True)
class PainterSpec:
    """Networks and sampler settings of a pipeline.

    Attributes:
        family: Family of the base model.
        base: Hub id or folder of the base model.
        control: Kind of the control networks.
        controls: Hub ids or folders of the control networks.
        scales: Conditioning scale of each control network.
        control_end: Share of the steps after which each ControlNet is switched off; T2I-Adapters
            never are.
        image_prompt: Hub id or folder of an IP-Adapter, its subfolder and file (None: those in
            ``IP_ADAPTER_FILES``), and its scale.
        lora: Folder of LoRA weights.
        height: Height of the generated images in pixels.
        width: Width of the generated images in pixels.
        steps: Steps of DPM-Solver++.
        guidance: Scale of classifier-free guidance.
        negative: Negative prompt.
        precision: Precision of all networks; float32 on devices without bfloat16 instructions.
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
    """Generates people in given body poses, from a prompt and optionally an image prompt.

    Args:
        spec: Networks and sampler settings.
        device: Device of the networks.

    Raises:
        UserError: If weights cannot be loaded, do not fit together, or cannot generate this size.
    """

    def __init__(self, spec: PainterSpec, device: torch.device) -> None:
        self.spec = spec
        if spec.lora is not None and not spec.lora.is_dir():
            raise UserError(f"no folder of LoRA weights at {spec.lora}; {LORA_ADVICE}")
        unet = check_base(spec.family, spec.base, spec.height, spec.width)
        check_controls(spec.control, spec.controls, spec.base, unet)
        self.dtype = resolve_dtype(spec.precision, device)
        controls = [
            load_pretrained(CONTROL_MODELS[spec.control], source, self.dtype)
            for source in spec.controls
        ]
        extras: dict[str, Any] = {spec.control: controls if len(controls) > 1 else controls[0]}
        if spec.family == "sd":
            extras["safety_checker"] = None
        pipeline_class = PIPELINES[spec.family, spec.control]
        self.pipeline = load_pretrained(pipeline_class, spec.base, self.dtype, **extras)
        if spec.image_prompt is not None:
            self._add_image_prompt(*spec.image_prompt)
        if spec.lora is not None:
            self._add_lora(spec.lora)
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            self.pipeline.scheduler.config, algorithm_type="dpmsolver++", use_karras_sigmas=True
        )
        self.pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def generate(
        self,
        controls: Sequence[Uint8Array],
        seeds: Sequence[int],
        prompt: str | Tensor,
        person: Uint8Array | None = None,
    ) -> Tensor:
        """Generate m images of one body pose.

        Args:
            controls: Control image of each control network, [H, W, 3] each.
            seeds: Seed of each generated image, [m].
            prompt: Text prompt, or prompt embeddings [T, C].
            person: Image prompt, [h, w, 3]; unused without an IP-Adapter.

        Returns:
            Images, about 0..1, [m, 3, H, W].
        """
        spec = self.spec
        control_images = [Image.fromarray(pixels) for pixels in controls]
        inputs: dict[str, Any] = {"prompt": prompt, "negative_prompt": spec.negative}
        if isinstance(prompt, Tensor):
            embeds = prompt.unsqueeze(0).to(self.pipeline.device, self.dtype)
            inputs = {"prompt_embeds": embeds, "negative_prompt_embeds": torch.zeros_like(embeds)}
        if spec.image_prompt is not None and person is not None:
            inputs["ip_adapter_image"] = Image.fromarray(person)
        single = len(control_images) == 1
        if spec.control == "controlnet":
            scales, ends = list(spec.scales), list(spec.control_end)
            inputs["controlnet_conditioning_scale"] = scales[0] if single else scales
            inputs["control_guidance_end"] = ends[0] if single else ends
        else:
            inputs["adapter_conditioning_scale"] = spec.scales[0]
        images = self.pipeline(
            image=control_images[0] if single else control_images,
            height=spec.height,
            width=spec.width,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
            **inputs,
        ).images
        return torch.from_numpy(images).permute(0, 3, 1, 2).float()

    def _add_image_prompt(
        self, source: str, subfolder: str | None, file: str | None, scale: float
    ) -> None:
        default_subfolder, default_file = IP_ADAPTER_FILES[self.spec.family]
        subfolder, file = subfolder or default_subfolder, file or default_file
        advice = "check model.image_prompt.weights, subfolder and file"
        location, local_only = locate(source)
        with user_error_on_failure(f"{source}/{subfolder}/{file}", "an IP-Adapter", advice):
            self.pipeline.load_ip_adapter(
                location, subfolder=subfolder, weight_name=file, local_files_only=local_only
            )
            self._try_image_prompt()
        self.pipeline.set_ip_adapter_scale(scale)

    @torch.no_grad()
    def _try_image_prompt(self) -> None:
        """Run the IP-Adapter once: diffusers reports a wrong image encoder only when it is used."""
        pipeline, blank = self.pipeline, Image.new("RGB", (32, 32))
        embeds = pipeline.prepare_ip_adapter_image_embeds(blank, None, pipeline.device, 1, False)
        pipeline.unet.encoder_hid_proj(embeds)

    def _add_lora(self, folder: Path) -> None:
        with user_error_on_failure(str(folder), "LoRA weights", LORA_ADVICE):
            self.pipeline.load_lora_weights(str(folder))
        if not self.pipeline.get_list_adapters():
            raise UserError(f"{folder} adapts no layer of {self.spec.base}; {LORA_ADVICE}")

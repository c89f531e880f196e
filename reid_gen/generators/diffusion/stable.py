"""Stable Diffusion with a ControlNet or a T2I-Adapter, by diffusers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
)
from PIL import Image
from torch import Tensor

from reid_gen.errors import UserError
from reid_gen.processor import Precision, computed_in
from reid_gen.types import Pixels

PIPELINES = {
    ("sd", "controlnet"): StableDiffusionControlNetPipeline,
    ("sd", "adapter"): StableDiffusionAdapterPipeline,
    ("sdxl", "controlnet"): StableDiffusionXLControlNetPipeline,
    ("sdxl", "adapter"): StableDiffusionXLAdapterPipeline,
}


@dataclass(frozen=True)
class Controlled:
    """What is loaded, and how it draws.

    Attributes:
        family: Of the base model.
        base: Hub id or folder.
        control: What ``controls`` are.
        controls: Hub ids or folders.
        scales: How strong each is.
        until: Share of the steps after which each no longer counts; T2I-Adapters always do.
        image_prompt: Hub id or folder of an IP-Adapter, subfolder, file and scale.
        lora: Folder of a low-rank adaptation.
        height: That it draws at.
        width: That it draws at.
        steps: Of DPM-Solver++.
        guidance: Classifier-free guidance.
        negative: What must not be seen.
        precision: Of all networks; float32 where the device has no instructions for bfloat16.
    """

    family: Literal["sd", "sdxl"]
    base: str
    control: Literal["controlnet", "adapter"]
    controls: tuple[str, ...]
    scales: tuple[float, ...]
    until: tuple[float, ...]
    image_prompt: tuple[str, str, str, float] | None
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
        self.dtype = computed_in(card.precision, device)
        network = ControlNetModel if card.control == "controlnet" else T2IAdapter
        loaded = [self._load(network, weights) for weights in card.controls]
        key = "controlnet" if card.control == "controlnet" else "adapter"
        extras: dict[str, Any] = {key: loaded if len(loaded) > 1 else loaded[0]}
        if card.family == "sd":
            extras["safety_checker"] = None
        self.pipeline = self._load(PIPELINES[card.family, card.control], card.base, **extras)
        self._refuse_size()
        if card.image_prompt is not None:
            self._add_image_prompt(*card.image_prompt)
        if card.lora is not None:
            self.pipeline.load_lora_weights(str(_folder(card.lora)))
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            self.pipeline.scheduler.config, algorithm_type="dpmsolver++", use_karras_sigmas=True
        )
        self.pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(
        self,
        shown: Sequence[Pixels],
        seeds: Sequence[int],
        prompt: str | Tensor,
        person: Pixels | None = None,
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
            words["control_guidance_end"] = card.until[0] if one else list(card.until)
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

    def _load(self, kind: Any, source: str, **extras: Any) -> Any:
        folder = Path(source).expanduser()
        here = folder.is_dir()
        if source.startswith((".", "/", "~")) and not here:
            raise UserError(f"no folder of weights at {source}; check the path, or give a hub id")
        advice = "check the id and the network, or give a folder that diffusers wrote"
        with _loading(source, kind.__name__, advice):
            return kind.from_pretrained(
                str(folder) if here else source,
                torch_dtype=self.dtype,
                local_files_only=here,
                **extras,
            )

    def _refuse_size(self) -> None:
        networks = self.pipeline.components
        halved = 2 ** (len(networks["unet"].config.block_out_channels) - 1)
        multiple = self.pipeline.vae_scale_factor * halved
        if self.card.height % multiple or self.card.width % multiple:
            raise UserError(
                f"{self.card.base} cannot draw {self.card.height} x {self.card.width} pixels: "
                f"model.height and model.width must be multiples of {multiple}"
            )

    def _add_image_prompt(self, source: str, subfolder: str, file: str, scale: float) -> None:
        advice = "check model.image_prompt.weights, subfolder and file"
        with _loading(source, "an IP-Adapter", advice):
            self.pipeline.load_ip_adapter(source, subfolder=subfolder, weight_name=file)
        self.pipeline.set_ip_adapter_scale(scale)


@contextmanager
def _loading(source: str, kind: str, advice: str) -> Iterator[None]:
    """Say in one line what diffusers says in many."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{source} cannot be loaded as {kind} ({reason}); {advice}") from error


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"no folder of a low-rank adaptation at {path}; make one: reid-gen tune")
    return path

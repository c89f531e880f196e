"""Fine-tuning of a public diffusion model: to one person's crops, or to a re-ID encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.choices import DiffusionFamily, Precision
from reid_gen.data.images import decode
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.compatibility import check_base
from reid_gen.generators.stable_diffusion.hub import load_pretrained
from reid_gen.generators.stable_diffusion.identity_prompt import (
    IdentityPrompt,
    save_identity_prompt,
)
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.runtime.progress import Advance
from reid_gen.types import Image

LORA_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]
"""Layers of every attention block that LoRA adapts (OnePoseTrans, section 3.2)."""
Embed = Callable[[Tensor], Tensor]
"""Maps row indices of crops [B] to their prompt embeddings [B, T, C]."""


@dataclass(frozen=True)
class Tuning:
    """Optimiser settings.

    Attributes:
        steps: Optimiser steps.
        batch: Crops per step.
        learning_rate: Learning rate of AdamW.
        rank: Rank of LoRA.
        seed: Seed of all randomness.
    """

    steps: int = 60
    batch: int = 2
    learning_rate: float = 1e-3
    rank: int = 32
    seed: int = 1


@dataclass(frozen=True)
class Base:
    """A frozen base model, without control networks.

    Attributes:
        pipeline: Pipeline of diffusers with frozen networks.
        height: Height of its images in pixels.
        width: Width of its images in pixels.
    """

    pipeline: Any
    height: int
    width: int


def load_base(
    family: DiffusionFamily,
    source: str,
    height: int,
    width: int,
    precision: Precision,
    device: torch.device,
) -> Base:
    """Load a base model for fine-tuning.

    Args:
        family: Family of the model.
        source: Hub id or folder.
        height: Height of its images in pixels.
        width: Width of its images in pixels.
        precision: Precision of the frozen networks.
        device: Device of the networks.

    Raises:
        UserError: If the family is not ``sd``, the weights cannot be loaded, or the model cannot
            generate this size.
    """
    if family != "sd":
        raise UserError(
            f"model.family is {family}, and only family sd can be fine-tuned; for {family} use "
            "diffusers' training scripts"
        )
    check_base(family, source, height, width)
    dtype = resolve_dtype(precision, device)
    pipeline = load_pretrained(StableDiffusionPipeline, source, dtype, safety_checker=None)
    pipeline = pipeline.to(device)
    for network in pipeline.components.values():
        if isinstance(network, nn.Module):
            network.requires_grad_(False)
    return Base(pipeline, height, width)


def tune_lora(
    base: Base,
    images: Sequence[Image],
    prompt: str,
    tuning: Tuning,
    folder: Path,
    advance: Advance,
) -> None:
    """Fine-tune LoRA weights on crops of one person (OnePoseTrans, arXiv 2409.09593).

    Args:
        base: The base model.
        images: Crops of the person, such as one tracklet.
        prompt: Text prompt that then stands for the person.
        tuning: Optimiser settings.
        folder: Existing folder for the LoRA weights in diffusers' format.
        advance: Progress callback, called with the number of finished steps.

    Raises:
        UserError: If a crop cannot be decoded.
    """
    pipeline = base.pipeline
    torch.manual_seed(tuning.seed)
    pipeline.unet.add_adapter(
        LoraConfig(
            r=tuning.rank,
            lora_alpha=tuning.rank,
            init_lora_weights="gaussian",
            target_modules=LORA_LAYERS,
        )
    )
    trainable = [p for p in pipeline.unet.parameters() if p.requires_grad]
    embeds, _ = pipeline.encode_prompt(prompt, pipeline.device, 1, False)
    crops = _decode_crops(base, images)
    _train(base, crops, lambda rows: embeds.expand(len(rows), -1, -1), trainable, tuning, advance)
    lora = get_peft_model_state_dict(pipeline.unet)
    pipeline.save_lora_weights(str(folder), unet_lora_layers=lora)


def tune_identity(
    base: Base,
    images: Sequence[Image],
    encode: FeatureExtractor,
    feature_size: int,
    *,
    tuning: Tuning,
    folder: Path,
    advance: Advance,
) -> None:
    """Train an :class:`IdentityPrompt` for the frozen base model. Source: own.

    The layer learns to map the re-ID feature of a crop to prompt embeddings from which the base
    model denoises that crop.

    Args:
        base: The base model.
        images: Crops of many people.
        encode: Re-ID encoder.
        feature_size: Length of its features.
        tuning: Optimiser settings; the rank is unused.
        folder: Existing folder for the weights.
        advance: Progress callback, called with the number of finished steps.

    Raises:
        UserError: If a crop cannot be decoded, or the weights cannot be written.
    """
    torch.manual_seed(tuning.seed)
    width, dtype = base.pipeline.unet.config.cross_attention_dim, base.pipeline.vae.dtype
    prompt = IdentityPrompt(feature_size, width).to(base.pipeline.device)
    crops = _decode_crops(base, images)
    features = torch.cat([encode((chunk + 1) / 2) for chunk in torch.split(crops, 16)]).float()
    trainable = list(prompt.parameters())
    _train(base, crops, lambda rows: prompt(features[rows]).to(dtype), trainable, tuning, advance)
    save_identity_prompt(prompt, folder)


def _decode_crops(base: Base, images: Sequence[Image]) -> Tensor:
    """Decode crops at the size of the base model, in -1..1, [N, 3, H, W]."""
    pixels = np.stack([decode(image.path, base.height, base.width) for image in images])
    return 2 * to_images(pixels).to(base.pipeline.device) - 1


def _train(
    base: Base,
    crops: Tensor,
    embed: Embed,
    trainable: Sequence[nn.Parameter],
    tuning: Tuning,
    advance: Advance,
) -> None:
    """Minimise the denoising loss of crops [N, 3, H, W] in the latent space of the base model."""
    pipeline, dtype = base.pipeline, base.pipeline.vae.dtype
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    rng = np.random.default_rng(tuning.seed)
    for parameter in trainable:  # low precision would lose most small updates
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(trainable, lr=tuning.learning_rate)
    autocast = torch.autocast(crops.device.type, dtype, dtype == torch.bfloat16)
    for _ in range(tuning.steps):
        rows = torch.from_numpy(rng.choice(len(crops), min(tuning.batch, len(crops)), False))
        with torch.no_grad():
            latents = pipeline.vae.encode(crops[rows].to(dtype)).latent_dist.sample()
            z0 = latents * pipeline.vae.config.scaling_factor  # [B, 4, h, w]
        noise = torch.randn(z0.shape).to(z0)
        t = torch.randint(0, schedule.config.num_train_timesteps, (len(rows),)).to(z0.device)
        z_t = schedule.add_noise(z0, noise, t)
        target = noise
        if schedule.config.prediction_type == "v_prediction":
            target = schedule.get_velocity(z0, noise, t)
        with autocast:
            prediction = pipeline.unet(z_t, t, encoder_hidden_states=embed(rows)).sample
        loss = F.mse_loss(prediction.float(), target.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        advance(1)

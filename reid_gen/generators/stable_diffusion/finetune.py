"""Fitting a public diffusion model to a few crops, or to a re-ID encoder."""

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
from reid_gen.generators.stable_diffusion.compatibility import refuse_base
from reid_gen.generators.stable_diffusion.hub import load
from reid_gen.generators.stable_diffusion.identity_prompt import IdentityPrompt, save_identity
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.runtime.precision import resolve_dtype
from reid_gen.runtime.progress import Advance
from reid_gen.types import Image

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
"""Layers that are adapted, in every attention (OnePoseTrans, section 3.2)."""


@dataclass(frozen=True)
class Tuning:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps.
        batch: Crops per step.
        learning_rate: Of AdamW.
        rank: Of the adaptation.
        seed: Of all that is random.
    """

    steps: int = 60
    batch: int = 2
    learning_rate: float = 1e-3
    rank: int = 32
    seed: int = 1


@dataclass(frozen=True)
class Base:
    """The base of a public model, without what controls it.

    Attributes:
        pipeline: Its networks, frozen.
        height: That it draws at.
        width: That it draws at.
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
    """Load what is tuned.

    Args:
        family: Of the model.
        source: Hub id or folder.
        height: That it draws at.
        width: That it draws at.
        precision: Of the frozen networks.
        device: Where to tune.

    Raises:
        UserError: If the family is not ``sd``, or the weights cannot be had or draw this size.
    """
    if family != "sd":
        raise UserError(
            f"model.family is {family}, and only models of family sd are tuned; for {family} take "
            "diffusers' own scripts"
        )
    refuse_base(family, source, height, width)
    dtype = resolve_dtype(precision, device)
    pipeline = load(StableDiffusionPipeline, source, dtype, safety_checker=None).to(device)
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
    """Fit a low-rank adaptation to crops of one person (OnePoseTrans, arXiv 2409.09593).

    Args:
        base: What is adapted.
        images: The crops, such as one tracklet.
        prompt: What the person is called from then on.
        tuning: How long and how fast.
        folder: That is there, for the adaptation, in diffusers' format.
        advance: Told about progress in steps.

    Raises:
        UserError: If nothing can be written.
    """
    pipeline = base.pipeline
    torch.manual_seed(tuning.seed)
    pipeline.unet.add_adapter(
        LoraConfig(
            r=tuning.rank,
            lora_alpha=tuning.rank,
            init_lora_weights="gaussian",
            target_modules=ATTENTION,
        )
    )
    learnt = [p for p in pipeline.unet.parameters() if p.requires_grad]
    tokens, _ = pipeline.encode_prompt(prompt, pipeline.device, 1, False)
    crops = _crops(base, images)
    _descend(base, crops, lambda rows: tokens.expand(len(rows), -1, -1), learnt, tuning, advance)
    layers = get_peft_model_state_dict(pipeline.unet)
    pipeline.save_lora_weights(str(folder), unet_lora_layers=layers)


def tune_identity(
    base: Base,
    images: Sequence[Image],
    encode: FeatureExtractor,
    feature_size: int,
    tuning: Tuning,
    folder: Path,
    advance: Advance,
) -> None:
    """Learn what a re-ID feature is in the language of a text encoder. Source: own.

    Only the new layer learns; it must make the frozen model draw each crop from its own feature.

    Args:
        base: Whose language is learnt.
        images: The crops, of many people.
        encode: Their re-ID encoder.
        feature_size: Length of its features.
        tuning: How long and how fast; the rank has no part in it.
        folder: For the layer.
        advance: Told about progress in steps.

    Raises:
        UserError: If nothing can be written.
    """
    torch.manual_seed(tuning.seed)
    width, dtype = base.pipeline.unet.config.cross_attention_dim, base.pipeline.vae.dtype
    prompt = IdentityPrompt(feature_size, width).to(base.pipeline.device)
    crops = _crops(base, images)
    parts = torch.split(crops, 16)
    features = torch.cat([encode((crop + 1) / 2) for crop in parts]).float()
    learnt = list(prompt.parameters())
    _descend(base, crops, lambda rows: prompt(features[rows]).to(dtype), learnt, tuning, advance)
    save_identity(prompt, folder)


def _crops(base: Base, images: Sequence[Image]) -> Tensor:
    """Crops at the size that the model draws, in -1..1, [N, 3, H, W]."""
    pixels = np.stack([decode(image.path, base.height, base.width) for image in images])
    return 2 * to_images(pixels).to(base.pipeline.device) - 1


def _descend(
    base: Base,
    crops: Tensor,
    tokens: Callable[[Tensor], Tensor],
    learnt: Sequence[nn.Parameter],
    tuning: Tuning,
    advance: Advance,
) -> None:
    """Remove noise from crops [N, 3, H, W] with the words [B, T, C] that rows [B] of them have."""
    pipeline, dtype = base.pipeline, base.pipeline.vae.dtype
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    rng = np.random.default_rng(tuning.seed)
    for parameter in learnt:  # low precision would lose most small steps
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(learnt, lr=tuning.learning_rate)
    low = torch.autocast(crops.device.type, dtype, dtype == torch.bfloat16)
    for _ in range(tuning.steps):
        rows = torch.from_numpy(rng.choice(len(crops), min(tuning.batch, len(crops)), False))
        with torch.no_grad():
            seen = pipeline.vae.encode(crops[rows].to(dtype)).latent_dist.sample()
            clean = seen * pipeline.vae.config.scaling_factor
        noise = torch.randn(clean.shape).to(clean)
        steps = schedule.config.num_train_timesteps
        time = torch.randint(0, steps, (len(rows),)).to(clean.device)
        noisy = schedule.add_noise(clean, noise, time)
        wanted = noise
        if schedule.config.prediction_type == "v_prediction":
            wanted = schedule.get_velocity(clean, noise, time)
        with low:
            found = pipeline.unet(noisy, time, encoder_hidden_states=tokens(rows)).sample
        loss = F.mse_loss(found.float(), wanted.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        advance(1)

"""Fitting a public diffusion model to a few crops, or to a re-ID encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.data.images import decode
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.evaluation.features import Advance, Encode
from reid_gen.files import written_aside
from reid_gen.generators.diffusion.identity import IdentityPrompt, save_identity
from reid_gen.generators.diffusion.stable import StablePainter
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


def tune_lora(
    painter: StablePainter,
    images: Sequence[Image],
    prompt: str,
    tuning: Tuning,
    folder: Path,
    advance: Advance,
) -> None:
    """Fit a low-rank adaptation to crops of one person (OnePoseTrans, arXiv 2409.09593).

    Args:
        painter: Of family ``sd``.
        images: The crops, such as one tracklet.
        prompt: What the person is called from then on.
        tuning: How long and how fast.
        folder: For the adaptation, in diffusers' format.
        advance: Told about progress in steps.

    Raises:
        UserError: If the family is another, or nothing can be written.
    """
    pipeline = _plain(painter)
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
    crops = _crops(painter, images)
    _descend(painter, crops, lambda rows: tokens.expand(len(rows), -1, -1), learnt, tuning, advance)
    with written_aside(folder) as aside:
        layers = get_peft_model_state_dict(pipeline.unet)
        type(pipeline).save_lora_weights(str(aside), unet_lora_layers=layers)


def tune_identity(
    painter: StablePainter,
    images: Sequence[Image],
    encode: Encode,
    feature_size: int,
    tuning: Tuning,
    folder: Path,
    advance: Advance,
) -> None:
    """Learn what a re-ID feature is in the language of a text encoder. Source: own.

    Only the new layer learns; it must make the frozen model draw each crop from its own feature.

    Args:
        painter: Of family ``sd``.
        images: The crops, of many people.
        encode: Their re-ID encoder.
        feature_size: Length of its features.
        tuning: How long and how fast.
        folder: For the layer.
        advance: Told about progress in steps.

    Raises:
        UserError: If the family is another, or nothing can be written.
    """
    pipeline = _plain(painter)
    torch.manual_seed(tuning.seed)
    width = pipeline.unet.config.cross_attention_dim
    prompt = IdentityPrompt(feature_size, width).to(pipeline.device)
    crops = _crops(painter, images)
    parts = torch.split(crops, 16)
    features = torch.cat([encode((crop + 1) / 2) for crop in parts]).float()
    _descend(
        painter,
        crops,
        lambda rows: prompt(features[rows]).to(painter.dtype),
        list(prompt.parameters()),
        tuning,
        advance,
    )
    save_identity(prompt, folder)


def _plain(painter: StablePainter):  # type: ignore[no-untyped-def]
    """The pipeline with all its networks frozen."""
    if painter.card.family != "sd":
        raise UserError("only models of family sd are tuned; for sdxl take diffusers' own scripts")
    for network in painter.pipeline.components.values():
        if isinstance(network, nn.Module):
            network.requires_grad_(False)
    return painter.pipeline


def _crops(painter: StablePainter, images: Sequence[Image]) -> Tensor:
    """Crops at the size that the model draws, in -1..1, [N, 3, H, W]."""
    size = painter.card.height, painter.card.width
    pixels = np.stack([decode(image.path, *size) for image in images])
    return 2 * to_images(pixels).to(painter.pipeline.device) - 1


def _descend(painter, crops, tokens, learnt, tuning, advance) -> None:  # type: ignore[no-untyped-def]
    """Remove noise from crops with the words that ``tokens`` gives for some rows."""
    pipeline = painter.pipeline
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    rng = np.random.default_rng(tuning.seed)
    for parameter in learnt:  # low precision would lose most small steps
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(learnt, lr=tuning.learning_rate)
    low = torch.autocast(crops.device.type, painter.dtype, painter.dtype == torch.bfloat16)
    for _ in range(tuning.steps):
        rows = torch.from_numpy(rng.choice(len(crops), min(tuning.batch, len(crops)), False))
        with torch.no_grad():
            seen = pipeline.vae.encode(crops[rows].to(painter.dtype)).latent_dist.sample()
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

"""From settings to groups that a public diffusion model draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.rasterisers import load_rasteriser
from reid_gen.body.table import load_table
from reid_gen.builders.turned_maps import build_angles
from reid_gen.config import pipelines
from reid_gen.data.datasets import load_dataset, training_images
from reid_gen.files import content_digest
from reid_gen.generators.stable_diffusion.compatibility import token_width
from reid_gen.generators.stable_diffusion.identity_prompt import embed_feature, load_identity_prompt
from reid_gen.generators.stable_diffusion.painter import PainterSpec, StablePainter
from reid_gen.generators.stable_diffusion.prompts import read_prompts
from reid_gen.inference.reference_encoder import load_judge
from reid_gen.models.checkpoint import find_checkpoint, read_card
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.positives.prompted import PromptedViews
from reid_gen.positives.scores import Scorer, SilhouetteScorer
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Image


def build_groups(settings: pipelines.Groups) -> tuple[PromptedViews, Scorer, list[Image]]:
    """What draws, what scores, and the images that have a body to trust.

    Raises:
        UserError: If packages, weights, bodies, prompts or images are missing.
    """
    prompts = () if settings.prompts is None else read_prompts(settings.prompts)
    images = training_images(load_dataset(settings.data.name, settings.data.root))
    table = load_table(settings.bodies / "train.npz")
    trusted = table.confidence_mask([image.key for image in images], settings.min_score)
    chosen = list(compress(images, trusted))
    runtime = Runtime("fp32")
    encode, person = _encoder(settings, runtime)
    model = settings.model
    body, rasteriser = load_body(settings.body), load_rasteriser(settings.rasteriser)
    maker = PromptedViews(
        build_painter(model, runtime.device),
        BodyMapRenderer(table, body, model.height, model.width, rasteriser),
        [control.condition for control in model.controls],
        prompts,
        None if settings.angles is None else build_angles(settings.angles),
        settings.positives,
        settings.data.height,
        settings.data.width,
        person=person,
    )
    asked = BodyMapRenderer(table, body, settings.data.height, settings.data.width, rasteriser)
    return maker, Scorer(encode, SilhouetteScorer(asked)), chosen


def _encoder(
    settings: pipelines.Groups, runtime: Runtime
) -> tuple[FeatureExtractor | None, Callable[[Tensor], Sequence[Tensor]] | None]:
    """What scores identity, and what makes a prompt of a person."""
    if settings.run is None:
        return None, None
    encode, size = load_judge(settings.run, runtime)
    if settings.identity is None:
        return encode, None
    words = token_width(settings.model.base)
    prompt = load_identity_prompt(settings.identity, size, words).to(runtime.device)
    return encode, lambda images: [embed_feature(prompt, feature) for feature in encode(images)]


def card_of(settings: pipelines.Groups) -> dict[str, Any]:
    """What made groups, for their header: the settings, and digests of files that they name.

    Public weights stand there by their names alone: they are large, and do not change.

    Raises:
        UserError: If a file cannot be read.
    """
    named = {
        "bodies": settings.bodies / "train.npz",
        "body": settings.body,
        "prompts": settings.prompts,
        "identity": settings.identity,
        "lora": settings.model.lora,
    }
    contents = {name: content_digest(path) for name, path in named.items() if path is not None}
    if settings.run is not None:
        contents["run"] = read_card(find_checkpoint(settings.run))["sha256"]
    return {"settings": settings.model_dump(mode="json"), "contents_sha256": contents}


def build_painter(settings: pipelines.StableDiffusion, device: torch.device) -> StablePainter:
    """Load what draws.

    Raises:
        UserError: If the extra packages are missing, or weights cannot be had.
    """
    made = settings.image_prompt
    card = PainterSpec(
        family=settings.family,
        base=settings.base,
        control=settings.control,
        controls=tuple(control.weights for control in settings.controls),
        scales=tuple(control.scale for control in settings.controls),
        control_end=tuple(control.control_end for control in settings.controls),
        image_prompt=None
        if made is None
        else (made.weights, made.subfolder, made.file, made.scale),
        lora=settings.lora,
        height=settings.height,
        width=settings.width,
        steps=settings.steps,
        guidance=settings.guidance,
        negative=settings.negative,
        precision=settings.precision,
    )
    return StablePainter(card, device)

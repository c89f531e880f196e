"""From settings to groups of positives that a public diffusion model generates."""

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
from reid_gen.inference.reference_encoder import load_reference_encoder
from reid_gen.models.checkpoint import find_checkpoint, read_card
from reid_gen.models.encoder import FeatureExtractor
from reid_gen.positives.prompted import PromptedViews
from reid_gen.positives.scores import Scorer, SilhouetteScorer
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Image


def build_groups(settings: pipelines.Groups) -> tuple[PromptedViews, Scorer, list[Image]]:
    """Build the source of positives and their scorer, and select the source images.

    Returns:
        The source of positives, the scorer, and the training images whose body scores at least
        ``min_score``.

    Raises:
        UserError: If packages, weights, bodies, prompts or images are missing.
    """
    prompts = () if settings.prompts is None else read_prompts(settings.prompts)
    images = training_images(load_dataset(settings.data.name, settings.data.root))
    table = load_table(settings.bodies / "train.npz")
    confident = table.confidence_mask([image.key for image in images], settings.min_score)
    runtime = Runtime("fp32")
    encode, embed_person = _reference_encoder(settings, runtime)
    model = settings.model
    body, rasteriser = load_body(settings.body), load_rasteriser(settings.rasteriser)
    views = PromptedViews(
        build_painter(model, runtime.device),
        BodyMapRenderer(table, body, model.height, model.width, rasteriser),
        [control.condition for control in model.controls],
        prompts,
        angles=None if settings.angles is None else build_angles(settings.angles),
        positives=settings.positives,
        height=settings.data.height,
        width=settings.data.width,
        person=embed_person,
    )
    bodies = BodyMapRenderer(table, body, settings.data.height, settings.data.width, rasteriser)
    scorer = Scorer(encode, SilhouetteScorer(bodies))
    return views, scorer, list(compress(images, confident))


def _reference_encoder(
    settings: pipelines.Groups, runtime: Runtime
) -> tuple[FeatureExtractor | None, Callable[[Tensor], Sequence[Tensor]] | None]:
    """Load the encoder of identity scores, and the map from images to identity prompts.

    Returns:
        Encoder; None without ``run``. Map from images [b, 3, H, W] to prompt embeddings [T, C]
        each; None without ``identity``.
    """
    if settings.run is None:
        return None, None
    encode, feature_size = load_reference_encoder(settings.run, runtime)
    if settings.identity is None:
        return encode, None
    token_size = token_width(settings.model.base)
    prompt = load_identity_prompt(settings.identity, feature_size, token_size).to(runtime.device)
    return encode, lambda images: [embed_feature(prompt, feature) for feature in encode(images)]


def groups_provenance(settings: pipelines.Groups) -> dict[str, Any]:
    """Describe how groups are generated, for their header: settings and digests of input files.

    Public weights are recorded by name alone, because they are large and do not change.

    Raises:
        UserError: If a file cannot be read.
    """
    paths = {
        "bodies": settings.bodies / "train.npz",
        "body": settings.body,
        "prompts": settings.prompts,
        "identity": settings.identity,
        "lora": settings.model.lora,
    }
    contents = {name: content_digest(path) for name, path in paths.items() if path is not None}
    if settings.run is not None:
        contents["run"] = read_card(find_checkpoint(settings.run))["sha256"]
    return {"settings": settings.model_dump(mode="json"), "contents_sha256": contents}


def build_painter(settings: pipelines.StableDiffusion, device: torch.device) -> StablePainter:
    """Load the diffusion pipeline.

    Raises:
        UserError: If the extra packages are missing, or weights cannot be loaded.
    """
    image_prompt = settings.image_prompt
    spec = PainterSpec(
        family=settings.family,
        base=settings.base,
        control=settings.control,
        controls=tuple(control.weights for control in settings.controls),
        scales=tuple(control.scale for control in settings.controls),
        control_end=tuple(control.control_end for control in settings.controls),
        image_prompt=None
        if image_prompt is None
        else (image_prompt.weights, image_prompt.subfolder, image_prompt.file, image_prompt.scale),
        lora=settings.lora,
        height=settings.height,
        width=settings.width,
        steps=settings.steps,
        guidance=settings.guidance,
        negative=settings.negative,
        precision=settings.precision,
    )
    return StablePainter(spec, device)

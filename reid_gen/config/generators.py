"""What a configuration file may say of sources of views."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reid_gen.choices import MapName, Padding, Precision, Stripes, TurnAxis
from reid_gen.config.section import (
    Batch,
    Channels,
    Count,
    Depth,
    Momentum,
    NotNegative,
    Positive,
    Section,
    Share,
)

Width = Annotated[Channels, Field(ge=8, multiple_of=8)]
ViewBatch = Annotated[Batch, Field(ge=2)]


class StepTurns(Section):
    """Turns by multiples of an angle."""

    kind: Literal["steps"]
    every: Annotated[int, Field(ge=1, le=180)] = 45
    last: Annotated[int, Field(ge=1, le=359)] = 315
    """GCL's release never draws 315."""


class AnyTurn(Section):
    """Turns by any angle."""

    kind: Literal["any"]
    min_angle: Annotated[float, Field(ge=0, lt=180)] = 20.0


class Structure(Section):
    """The structure encoder."""

    width: Channels = 16
    blocks: Depth = 4
    pyramid: bool = True
    """Dilated convolutions at the end, as in GCL."""


class Decoder(Section):
    """The decoder; its channels follow from the structure encoder's width."""

    hidden: Channels = 512


class Discriminator(Section):
    """The discriminator."""

    width: Channels = 32
    blocks: Depth = 4
    scales: Depth = 3
    penalty_every: Count = 16
    """Steps between gradient penalties, which then count as much more."""


class GanWeights(Section):
    """Weight of each term of the mesh GAN."""

    image: NotNegative = 5.0
    cycle: NotNegative = 5.0
    feature: NotNegative = 5.0
    adversarial: NotNegative = 1.0
    fake: NotNegative = 1.0
    real: NotNegative = 1.0
    penalty: NotNegative = 0.01


class Drawn(Section):
    """What generators that draw on bodies have in common."""

    bodies: Annotated[Path, Field(strict=False)]
    """Folder that `reid-gen meshes` made."""
    body: Annotated[Path | None, Field(strict=False)] = None
    """SMPL model if the bodies are SMPL's; null for the built-in one."""
    map: MapName = "parts"
    """``painted`` bodies bear the colours that the image shows of them (own; GCL: ``grey``)."""
    angles: Annotated[StepTurns | AnyTurn, Field(discriminator="kind")] = AnyTurn(kind="any")
    axis: TurnAxis = "body"
    """What bodies turn about: the upright axis of each, or the picture's vertical (GCL)."""
    min_score: Share = 0.3
    """Images with less confident bodies are trained without views."""
    batch: ViewBatch = 16
    """Images per step that get views; one alone has no batch statistics."""
    precision: Precision = "bf16"
    ema_momentum: Share | None = None
    """Momentum of a slow mean of the identity encoder that views are drawn by while it learns: it
    then learns from contrast alone, and the generator from its own terms alone. null draws by the
    encoder itself, and each moves the other too (GCL)."""


class MeshGan(Drawn):
    """GCL's generator: people drawn on their bodies turned."""

    kind: Literal["mesh_gan"]
    stripes: Stripes = "body"
    """What drives one block of the decoder: a stripe of the body, or channels of all (release)."""
    feature_of_view: bool = True
    """Tie the view's part features to the image's too (paper, not release)."""
    padding: Padding = "reflect"
    """Of its convolutions; ``zeros`` saves a fifth of a step on CPU."""
    gradient_checkpointing: bool = False
    """Compute what decoder and discriminator made again on the way back instead of keeping it: less
    memory, more time."""
    body_weight: Annotated[Positive, Field(ge=1)] = 1.0
    """How much a pixel on the body counts in ``image`` and ``cycle`` beside one elsewhere."""
    statistics: Literal["real", "all"] = "real"
    """Whose batch statistics the identity encoder keeps for evaluation (release: all images')."""
    train_batch: ViewBatch | None = None
    """Images per step that it learns from, of those that get views; null takes all."""
    mixup_alpha: Positive | None = None
    """GCL+: alpha of the Beta that mixes two people's part features (0.6); null never mixes."""
    structure: Structure = Structure()
    decoder: Decoder = Decoder()
    discriminator: Discriminator = Discriminator()
    weights: GanWeights = GanWeights()
    weight_decay: NotNegative = 5e-4


class DiffusionWeights(Section):
    """Weight of the only term."""

    noise: NotNegative = 1.0


class PixelDiffusion(Drawn):
    """A small diffusion model on pixels; it learns in a stage of its own."""

    kind: Literal["pixel_diffusion"]
    widths: Annotated[tuple[Width, ...], Field(min_length=2, strict=False)] = (96, 192)
    """Channels of each level."""
    layers: Depth = 1
    """Residual blocks per level."""
    patch_size: Literal[1, 2, 4] = 4
    """Side of the blocks of pixels that become channels."""
    heads: Channels = 4
    cross_attention_dim: Width = 128
    """Width of the tokens that are attended to."""
    condition_dropout: Share = 0.1
    """How often the body, and how often the person, is hidden in training."""
    ema_decay: Momentum = 0.999
    """Decay of the running average that draws."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of the sampler."""
    body_guidance: NotNegative = 1.0
    person_guidance: NotNegative = 1.5
    """1 is none and saves a pass."""
    weights: DiffusionWeights = DiffusionWeights()
    weight_decay: NotNegative = 0.01


class Stored(Section):
    """Views that `reid-gen generate` made."""

    kind: Literal["stored"]
    groups: Annotated[Path, Field(strict=False)]
    members: Count = 1
    """Views per image in a step."""
    batch: ViewBatch = 16
    """Images per step that get views; one alone has no batch statistics."""
    min_identity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    """Views whose identity score is lower are left out; the next two likewise."""
    min_structure: Share = 0.0
    min_difference: Share = 0.0
    """Above 0 leaves out copies of the image and of other views."""
    weight_by_identity: bool = False
    """A view counts as much as its identity score says, at least 0."""

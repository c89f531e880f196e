"""Settings of the generators of views."""

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
    Fraction,
    Momentum,
    NotNegative,
    Positive,
    Section,
)

Width = Annotated[Channels, Field(ge=8, multiple_of=8)]
ViewBatch = Annotated[Batch, Field(ge=2)]


class StepTurns(Section):
    """Rotation angles drawn from multiples of a step."""

    kind: Literal["steps"]
    every: Annotated[int, Field(ge=1, le=180)] = 45
    """Step between angles in degrees."""
    last: Annotated[int, Field(ge=1, le=359)] = 315
    """Largest angle in degrees; GCL's release never draws 315."""


class AnyTurn(Section):
    """Rotation angles drawn uniformly from a continuous range."""

    kind: Literal["any"]
    min_angle: Annotated[float, Field(ge=0, lt=180)] = 20.0
    """Smallest rotation in degrees, in either direction."""


class Structure(Section):
    """Structure encoder E_str of the GAN."""

    width: Channels = 16
    """Channels of the first layer."""
    blocks: Depth = 4
    """Residual blocks."""
    pyramid: bool = True
    """Whether the last layer is an ASPP (parallel dilated convolutions), as in GCL."""


class Decoder(Section):
    """Decoder G of the GAN; its channels follow from the structure encoder's width."""

    hidden: Channels = 512
    """Hidden units of the MLPs that map part features to AdaIN parameters."""


class Discriminator(Section):
    """Multi-scale patch discriminator D of the GAN."""

    width: Channels = 32
    """Channels of the first layers."""
    blocks: Depth = 4
    """Residual blocks per scale."""
    scales: Depth = 3
    """Image scales, each half as large as the one before."""
    penalty_every: Count = 16
    """Steps between gradient penalties, whose weight is multiplied by this number."""


class GanWeights(Section):
    """Weights of the GAN's losses."""

    image: NotNegative = 5.0
    """Weight of the L1 loss of images reconstructed on their own body."""
    cycle: NotNegative = 5.0
    """Weight of the L1 loss of images reconstructed from the features of their view."""
    feature: NotNegative = 5.0
    """Weight of the L1 loss between part features of real and generated images."""
    adversarial: NotNegative = 1.0
    """Weight of the generator's least-squares adversarial loss."""
    fake: NotNegative = 1.0
    """Weight of the discriminator's loss on generated images."""
    real: NotNegative = 1.0
    """Weight of the discriminator's loss on real images."""
    penalty: NotNegative = 0.01
    """Weight of the discriminator's gradient penalty on real images."""


class BodyConditioned(Section):
    """Settings shared by generators that are conditioned on body maps."""

    bodies: Annotated[Path, Field(strict=False)]
    """Folder of body tables written by `reid-gen meshes`."""
    body: Annotated[Path | None, Field(strict=False)] = None
    """SMPL model file or folder, required if the bodies are SMPL's; null takes the built-in body
    model."""
    map: MapName = "parts"
    """Kind of body map; ``painted`` projects the image's colours onto the body (own; GCL:
    ``grey``)."""
    angles: Annotated[StepTurns | AnyTurn, Field(discriminator="kind")] = AnyTurn(kind="any")
    """Distribution of the rotation angles."""
    axis: TurnAxis = "body"
    """Rotation axis: the upright axis of each body, or the vertical of the image (GCL)."""
    min_score: Fraction = 0.3
    """Minimum body score; images whose body scores lower are trained without views."""
    batch: ViewBatch = 16
    """Images per step that get views; at least 2, because a single image has no batch
    statistics."""
    precision: Precision = "bf16"
    """Compute precision of the generator."""
    ema_momentum: Fraction | None = None
    """Momentum of an EMA of the identity encoder that conditions the generator. The encoder is then
    trained by contrastive losses only, and the generator by its own losses only. null conditions on
    the encoder itself, so that each receives gradients of the other's losses (GCL)."""


class MeshGan(BodyConditioned):
    """GCL's generator: a GAN that renders the person of an image on the rotated body."""

    kind: Literal["mesh_gan"]
    stripes: Stripes = "body"
    """Part features of each decoder block: a horizontal stripe of the body, or a quarter of the
    channels of all stripes (``interleaved``, GCL's release)."""
    feature_of_view: bool = True
    """Whether the feature loss includes the view (the paper; not the release)."""
    padding: Padding = "reflect"
    """Padding mode of the convolutions; ``zeros`` takes 20% less time per step on CPU."""
    gradient_checkpointing: bool = False
    """Whether activations of decoder and discriminator are recomputed in the backward pass, which
    takes less memory and more time."""
    body_weight: Annotated[Positive, Field(ge=1)] = 1.0
    """Weight of a pixel on the body in the ``image`` and ``cycle`` losses; the background has 1."""
    statistics: Literal["real", "all"] = "real"
    """Images that update the identity encoder's batch-norm running statistics: real ones only, or
    generated ones too (``all``, GCL's release)."""
    train_batch: ViewBatch | None = None
    """Images per step that the generator is trained on, at most ``batch``; null takes all."""
    mixup_alpha: Positive | None = None
    """Parameter of the Beta distribution that mixes the part features of two people (GCL+: 0.6);
    null disables mixup."""
    structure: Structure = Structure()
    decoder: Decoder = Decoder()
    discriminator: Discriminator = Discriminator()
    weights: GanWeights = GanWeights()
    weight_decay: NotNegative = 5e-4
    """Weight decay of generator and discriminator."""


class DiffusionWeights(Section):
    """Weight of the diffusion loss."""

    noise: NotNegative = 1.0
    """Weight of the denoising loss."""


class PixelDiffusion(BodyConditioned):
    """Small pixel-space diffusion model."""

    kind: Literal["pixel_diffusion"]
    widths: Annotated[tuple[Width, ...], Field(min_length=2, strict=False)] = (96, 192)
    """Channels of each U-Net level, from fine to coarse."""
    layers: Depth = 1
    """Residual blocks per level."""
    patch_size: Literal[1, 2, 4] = 4
    """Side in pixels of the patches that are unshuffled into channels."""
    heads: Channels = 4
    """Attention heads."""
    cross_attention_dim: Width = 128
    """Width of the tokens for cross-attention."""
    condition_dropout: Fraction = 0.1
    """Probability that the body map, and independently the person, is dropped in training for
    classifier-free guidance."""
    ema_decay: Momentum = 0.999
    """Decay of the EMA of the U-Net's weights, which generates the views."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Sampling steps."""
    body_guidance: NotNegative = 1.0
    """Guidance scale of the body map; 1 disables it."""
    person_guidance: NotNegative = 1.5
    """Guidance scale of the person; 1 disables it and saves a forward pass."""
    weights: DiffusionWeights = DiffusionWeights()
    weight_decay: NotNegative = 0.01
    """Weight decay of the U-Net."""


class Stored(Section):
    """Views generated before training by `reid-gen generate`."""

    kind: Literal["stored"]
    groups: Annotated[Path, Field(strict=False)]
    """Folder of groups written by `reid-gen generate`."""
    members: Count = 1
    """Views per image and step."""
    batch: ViewBatch = 16
    """Images per step that get views; at least 2, because a single image has no batch
    statistics."""
    min_identity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    """Minimum identity score of a view, a cosine similarity."""
    min_structure: Fraction = 0.0
    """Minimum overlap of a view's silhouette with the requested body."""
    min_difference: Fraction = 0.0
    """Minimum difference of a view from its source image and from its other views; above 0 excludes
    copies."""
    weight_by_identity: bool = False
    """Whether a view's sample weight is its identity score, clipped to [0, 1]."""

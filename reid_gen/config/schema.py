"""What a configuration file may say: frozen models, defaults, allowed values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from reid_gen.choices import (
    DatasetName,
    LabelledDatasetName,
    OptimizerName,
    PoolingName,
    Precision,
    RasteriserName,
)
from reid_gen.config.clustering import Clustering
from reid_gen.config.consistency import contradictions
from reid_gen.config.generators import MeshGan, PixelDiffusion, Stored
from reid_gen.config.section import (
    Batch,
    Channels,
    Count,
    CountOrZero,
    Momentum,
    NormBatch,
    NotNegative,
    Positive,
    Section,
    Seed,
    Share,
    Side,
    Threads,
)


class Data(Section):
    """Which images, at which size."""

    name: DatasetName
    root: Annotated[Path, Field(strict=False)]
    height: Annotated[Side, Field(ge=32)] = 256
    width: Side = 128
    workers: Threads = 4


class Encoder(Section):
    """The identity encoder."""

    backbone: str
    weights: str | None = None
    """``imagenet`` for the backbone's public weights, ``rendered`` for resnet10t's built-in ones,
    a .safetensors or .pth file, or null."""
    pooling: PoolingName = "gem"
    """``token`` is a transformer's class token."""
    last_stride: Literal[1, 2] | None = 1
    """1 keeps a finer map in convolutional backbones; null for transformers."""
    ghost_batch: NormBatch | None = 64
    """Images per batch-norm group in training; null takes the whole batch."""
    precision: Precision = "bf16"
    embedding: Channels | None = None
    """Length that a linear layer brings features to before the neck (GCL: 512); null has none."""
    pose_token: bool = False
    """True gives a transformer one more token, which the pose head reads (GenPoCCL, whose re-ID
    feature is the class token: ``pooling: token``)."""


class Augment(Section):
    """Random changes of a training image."""

    flip: Share = 0.5
    pad: Annotated[int, Field(ge=0, le=512)] = 10
    erase: Share = 0.5


class Sampler(Section):
    """P x K: ``batch`` images, of which ``instances`` share a pseudo label."""

    batch: NormBatch = 256
    """At least 2, because one image has no batch statistics."""
    instances: Batch | None = 16
    """null draws clustered images plainly, as GCL's release does."""
    camera_aware: bool = False

    @model_validator(mode="after")
    def _whole_identities(self) -> Sampler:
        if self.instances is not None and self.batch % self.instances:
            raise ValueError(f"batch {self.batch} must be a multiple of instances {self.instances}")
        return self


class Memory(Section):
    """Share of the old value that an update keeps."""

    instance_momentum: Momentum = 0.2
    prototype_momentum: Momentum = 0.1
    proxy_momentum: Momentum = 0.2


class Weights(Section):
    """Weight of each contrastive term; a term of weight 0 is not computed."""

    prototype: NotNegative = 1.0
    hard_prototype: NotNegative = 0.0
    """Of HHCL, which weighs ``prototype`` and this by half each."""
    weak_view: NotNegative = 0.0
    """A second pass over the images of a step, neither cropped nor erased, which costs as much."""
    camera_proxy: NotNegative = 0.0
    """Of CAP (0.5 there): an image against the proxies of its cluster in all cameras."""
    instance: NotNegative = 0.0
    view_prototype: NotNegative = 0.0
    view_align: NotNegative = 0.0
    """Draws views to their images and pushes nothing away; safe where identity is in doubt."""
    view_instance: NotNegative = 0.0
    view_cluster: NotNegative = 0.0
    real_cluster: NotNegative = 0.0
    mixup: NotNegative = 0.0
    """Of GCL+; needs ``generator.mixup_alpha``."""


class Pairs(Section):
    """GCL's three pair terms: ``view_instance``, ``view_cluster``, ``real_cluster``."""

    negatives: Count | None = None
    """Random rows of other labels per image; null takes all."""
    positive_from_batch: bool = True
    """False: a view's own positive is the image's row of the bank (release)."""
    own_negatives: bool = True
    """False: the real image borrows the negatives of its view (release)."""


class Loss(Section):
    """The contrastive head."""

    temperature: Positive = 0.05
    weights: Weights = Weights()
    pairs: Pairs = Pairs()
    proxy_negatives: Count = 50
    """Hardest proxies of other clusters that ``camera_proxy`` pushes an image from."""


class PoseWeights(Section):
    """Weight of each term of pre-training on poses."""

    pose: NotNegative = 1.0
    """L_mp: pictures of one group against all others."""
    align: NotNegative = 0.0
    """L_align: two changed views of one picture, by the re-ID feature."""
    rebuild: NotNegative = 0.0
    """L_rec: what was hidden of a picture."""


class Body(Section):
    """How bodies are drawn, in training and for views."""

    rasteriser: RasteriserName = "numba"


class Pose(Section):
    """Pre-training on groups of pictures that share a pose (GenPoCCL), for stages that train it."""

    groups: Annotated[Path, Field(strict=False)]
    """Folder that `reid-gen generate` or `reid-gen data groups` made."""
    batch: Batch = 64
    instances: Annotated[Batch, Field(ge=2)] = 4
    """Pictures of a group in a batch."""
    hidden: Channels = 1024
    """Of the pose head, whose feature has length ``size``."""
    size: Channels = 128
    weights: PoseWeights = PoseWeights()
    temperature: Positive = 0.1
    align_temperature: Positive = 0.2
    mask: Share = 0.5
    """Share of patches that are hidden where ``weights.rebuild`` is above 0."""

    @model_validator(mode="after")
    def _whole_groups(self) -> Pose:
        if self.batch % self.instances:
            raise ValueError(f"batch {self.batch} must be a multiple of instances {self.instances}")
        if not any(self.weights.model_dump().values()):
            raise ValueError("at least one of pose.weights must be above 0")
        return self


class Source(Section):
    """A data set with labels, for stages with ``labels: source``."""

    name: LabelledDatasetName
    root: Annotated[Path, Field(strict=False)]


class Stage(Section):
    """One part of the training: how long, and at which learning rates."""

    name: str
    epochs: Count
    iterations: Count | None = 400
    """Steps per epoch; null passes once over the images that may be drawn."""
    trains: Annotated[
        tuple[Literal["identity", "generator", "pose"], ...], Field(min_length=1, strict=False)
    ] = ("identity",)
    """``pose`` trains the encoder with a pose head, on the groups under ``pose``, and alone."""
    labels: Literal["clusters", "source"] = "clusters"
    """``source`` learns from the true labels of the data set under ``source``."""
    views: bool = False
    """Contrast views of a generator that does not learn in this stage."""
    learning_rate: Positive = 3.5e-4
    weight_decay: NotNegative = 5e-4
    warmup_epochs: CountOrZero = 0
    decay_every: Count | None = 20
    """Epochs after which the learning rate is multiplied by 0.1; null never does."""
    generator_learning_rate: Positive = 1e-4
    optimizer: OptimizerName = "adam"
    """Of the identity encoder; ``sgd`` has Nesterov momentum 0.9."""
    augment: Augment | None = None
    """This and the next three replace the run's own for this stage; null keeps those."""
    sampler: Sampler | None = None
    clustering: Clustering | None = None
    loss: Loss | None = None


class Evaluation(Section):
    """What is measured on query and gallery."""

    every: Count | None = None
    """Epochs between evaluations for display; null evaluates only before and after training."""
    batch: Batch = 256
    flip: bool = False
    rerank: bool = False


class Config(Section):
    """One experiment, complete."""

    name: str
    seed: Seed = 1
    runs: Annotated[Path, Field(strict=False)] = Path("runs")
    data: Data
    encoder: Encoder
    augment: Augment = Augment()
    sampler: Sampler = Sampler()
    clustering: Clustering = Clustering()
    memory: Memory = Memory()
    loss: Loss = Loss()
    generator: Annotated[MeshGan | PixelDiffusion | Stored | None, Field(discriminator="kind")] = (
        None
    )
    body: Body = Body()
    pose: Pose | None = None
    source: Source | None = None
    start_from: Annotated[Path | None, Field(strict=False)] = None
    """A run whose weights this one starts with."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, strict=False)]
    evaluation: Evaluation = Evaluation()

    @field_validator("name")
    @classmethod
    def _folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
            raise ValueError(
                "must be the name of a new folder below runs: letters, digits, _, - and, but not "
                f"at the beginning, dots; got {json.dumps(name)}"
            )
        return name

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        if faults := list(contradictions(self)):
            raise ValueError("\n  ".join(faults))
        return self

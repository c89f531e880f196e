"""Schema of an experiment's configuration file: frozen models, defaults and allowed values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from reid_gen.choices import DatasetName, PoolingName, Precision, RasteriserName
from reid_gen.config.clustering import Clustering
from reid_gen.config.consistency import contradictions
from reid_gen.config.generators import MeshGan, PixelDiffusion, Stored
from reid_gen.config.section import (
    Batch,
    Channels,
    Count,
    Momentum,
    NormBatch,
    Positive,
    Section,
    Seed,
    Side,
    Threads,
)
from reid_gen.config.stages import Augment, Loss, Pose, Sampler, Source, Stage


class Data(Section):
    """Data set that is trained on and evaluated, and its image size."""

    name: DatasetName
    """Name of the data set."""
    root: Annotated[Path, Field(strict=False)]
    """Folder that holds the data set."""
    height: Annotated[Side, Field(ge=32)] = 256
    """Image height in pixels."""
    width: Side = 128
    """Image width in pixels."""
    workers: Threads = 4
    """Image decoding threads."""
    cache: Literal["auto"] | Positive | None = "auto"
    """Memory for decoded images, so that a file is decoded once per run: a number in GiB, ``auto``
    for up to half of the memory that is free, or null to decode in every epoch."""


class Encoder(Section):
    """Identity encoder."""

    backbone: str
    """Name of the backbone, such as ``resnet50``."""
    weights: str | None = None
    """Initial weights: ``imagenet`` for the backbone's public weights, ``rendered`` for the
    built-in weights of resnet10t, a .safetensors or .pth file, or null for random ones."""
    pooling: PoolingName = "gem"
    """Pooling of the feature map; ``token`` takes a transformer's class token."""
    last_stride: Literal[1, 2] | None = 1
    """Stride of the last stage of a CNN; 1 keeps a larger feature map. null for transformers."""
    ghost_batch: NormBatch | None = 64
    """Images per ghost batch of batch norm in training; null normalises the whole batch."""
    precision: Precision = "bf16"
    """Compute precision of the encoder."""
    embedding: Channels | None = None
    """Output dimensions of a linear layer before the neck (GCL: 512); null has no such layer."""
    pose_token: bool = False
    """Whether a transformer gets a learned token for the pose head (GenPoCCL, whose re-ID feature
    is the class token: ``pooling: token``)."""


class Memory(Section):
    """Momenta of the memory bank: the share of the old value that an update keeps, in [0, 1)."""

    instance_momentum: Momentum = 0.2
    """Momentum of the rows of images."""
    prototype_momentum: Momentum = 0.1
    """Momentum of cluster prototypes."""
    proxy_momentum: Momentum = 0.2
    """Momentum of camera proxies."""


class Body(Section):
    """Rendering of bodies, in training and for generated views."""

    rasteriser: RasteriserName = "numba"
    """Rasteriser: ``numba`` is fast on a CPU, ``torch`` runs on a GPU too, ``pytorch3d`` is
    PyTorch3D's (docs/bodies.md)."""


class Evaluation(Section):
    """Evaluation on query and gallery."""

    every: Count | None = None
    """Epochs between evaluations; null evaluates before and after training only. The results are
    logged and never influence training."""
    batch: Batch = 256
    """Images per forward pass."""
    flip: bool = False
    """Whether features are averaged with those of the horizontally flipped image."""
    rerank: bool = False
    """Whether results with k-reciprocal re-ranking are computed too."""


class Config(Section):
    """Configuration of one experiment."""

    name: str
    """Name of the run folder."""
    seed: Seed = 1
    """Random seed."""
    runs: Annotated[Path, Field(strict=False)] = Path("runs")
    """Folder in which the run folder is created."""
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
    """Generator of views; null trains without views."""
    body: Body = Body()
    pose: Pose | None = None
    """Pose pre-training; null has none."""
    source: Source | None = None
    """Labelled source data set; null has none."""
    start_from: Annotated[Path | None, Field(strict=False)] = None
    """Run folder or checkpoint that the networks are initialised from (warm start)."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, strict=False)]
    """Stages of the training, in order."""
    evaluation: Evaluation = Evaluation()

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
            raise ValueError(
                "must be the name of a new folder in runs: letters, digits, _, - and dots, the "
                f"first no dot; got {json.dumps(name)}"
            )
        return name

    @model_validator(mode="after")
    def _check_consistency(self) -> Config:
        if messages := list(contradictions(self)):
            raise ValueError("\n  ".join(messages))
        return self

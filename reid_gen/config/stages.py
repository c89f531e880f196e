"""Settings of the training stages: augmentation, sampling, losses and schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reid_gen.choices import LabelledDatasetName, OptimizerName
from reid_gen.config.clustering import Clustering
from reid_gen.config.section import (
    Batch,
    Channels,
    Count,
    CountOrZero,
    Fraction,
    NormBatch,
    NotNegative,
    Positive,
    Section,
)


class Augment(Section):
    """Random augmentation of training images."""

    flip: Fraction = 0.5
    """Probability of a horizontal flip."""
    pad: Annotated[int, Field(ge=0, le=512)] = 10
    """Padding in pixels before a random crop of the original size."""
    erase: Fraction = 0.5
    """Probability of random erasing."""


class Sampler(Section):
    """P x K sampling of batches."""

    batch: NormBatch = 256
    """Images per batch (P * K); at least 2, because a single image has no batch statistics."""
    instances: Batch | None = 16
    """Images per pseudo label in a batch (K); null shuffles all clustered images, as GCL's release
    does."""
    camera_aware: bool = False
    """Whether the images of a cluster are spread over its cameras."""

    @model_validator(mode="after")
    def _check_divisible(self) -> Sampler:
        if self.instances is not None and self.batch % self.instances:
            raise ValueError(f"batch {self.batch} must be a multiple of instances {self.instances}")
        return self


class Weights(Section):
    """Weights of the contrastive terms; a term of weight 0 is not computed."""

    prototype: NotNegative = 1.0
    """Weight of images against cluster prototypes (Cluster Contrast)."""
    hard_prototype: NotNegative = 0.0
    """Weight of images against hard prototypes (HHCL, with 0.5 for this and for ``prototype``)."""
    weak_view: NotNegative = 0.0
    """Weight of weakly augmented images, neither cropped nor erased, against cluster prototypes;
    doubles the encoder's cost."""
    camera_proxy: NotNegative = 0.0
    """Weight of images against their cluster's proxies in all cameras (CAP: 0.5)."""
    instance: NotNegative = 0.0
    """Weight of images against the memory bank's rows of all images."""
    view_prototype: NotNegative = 0.0
    """Weight of views against cluster prototypes."""
    view_align: NotNegative = 0.0
    """Weight of the alignment of views with their images; it has no negatives, so it is safe for
    views of doubtful identity (CLSP)."""
    view_instance: NotNegative = 0.0
    """Weight of GCL's pair term of views and their images."""
    view_cluster: NotNegative = 0.0
    """Weight of GCL's pair term of views and their image's cluster."""
    real_cluster: NotNegative = 0.0
    """Weight of GCL's pair term of images and their cluster."""
    mixup: NotNegative = 0.0
    """Weight of GCL+'s mixup term; requires ``generator.mixup_alpha``."""


class Pairs(Section):
    """Variants of GCL's pair terms ``view_instance``, ``view_cluster`` and ``real_cluster``."""

    negatives: Count | None = None
    """Random memory bank rows of other labels per image (GCL: 8192); null takes all."""
    positive_from_batch: bool = True
    """Whether a view's positive is its image's feature in the batch; ``false`` takes the image's
    row of the memory bank (release)."""
    own_negatives: bool = True
    """Whether an image has negatives of its own; ``false`` reuses its view's (release)."""


class Loss(Section):
    """Contrastive losses."""

    temperature: Positive = 0.05
    """Temperature of all contrastive terms."""
    weights: Weights = Weights()
    pairs: Pairs = Pairs()
    proxy_negatives: Count = 50
    """Hardest proxies of other clusters that serve as negatives of ``camera_proxy``."""


class PoseWeights(Section):
    """Weights of the losses of pose pre-training (GenPoCCL)."""

    pose: NotNegative = 1.0
    """Weight of L_mp: images that share a pose against all others, by pose feature."""
    align: NotNegative = 0.0
    """Weight of L_align: two augmentations of an image, by re-ID feature."""
    rebuild: NotNegative = 0.0
    """Weight of L_rec: reconstruction of masked patches."""


class Pose(Section):
    """Pre-training on groups of images that share a pose (GenPoCCL), for stages that train it."""

    groups: Annotated[Path, Field(strict=False)]
    """Folder of groups written by `reid-gen generate` or `reid-gen data groups`."""
    batch: Batch = 64
    """Images per batch."""
    instances: Annotated[Batch, Field(ge=2)] = 4
    """Images per group in a batch."""
    hidden: Channels = 1024
    """Hidden units of the pose head."""
    size: Channels = 128
    """Dimensions of the pose feature."""
    weights: PoseWeights = PoseWeights()
    temperature: Positive = 0.1
    """Temperature of ``pose``."""
    align_temperature: Positive = 0.2
    """Temperature of ``align``."""
    mask: Fraction = 0.5
    """Share of patches that are masked if ``weights.rebuild`` is above 0."""

    @model_validator(mode="after")
    def _check_batch_and_weights(self) -> Pose:
        if self.batch % self.instances:
            raise ValueError(f"batch {self.batch} must be a multiple of instances {self.instances}")
        if not any(self.weights.model_dump().values()):
            raise ValueError("at least one of pose.weights must be above 0")
        return self


class Source(Section):
    """Labelled source data set, for stages with ``labels: source``."""

    name: LabelledDatasetName
    """Name of the data set."""
    root: Annotated[Path, Field(strict=False)]
    """Folder that holds the data set."""


class Stage(Section):
    """One stage of the training: what is trained, for how long and at which learning rates."""

    name: str
    """Name of the stage in logs and messages."""
    epochs: Count
    """Number of epochs."""
    iterations: Count | None = 400
    """Steps per epoch; null makes one pass over the images that can be sampled."""
    trains: Annotated[
        tuple[Literal["identity", "generator", "pose"], ...], Field(min_length=1, strict=False)
    ] = ("identity",)
    """Networks that are trained; ``pose`` trains the encoder with a pose head on the groups of the
    ``pose`` section, and cannot be combined with others."""
    labels: Literal["clusters", "source"] = "clusters"
    """Labels of the contrastive losses: pseudo labels, or the true labels of the ``source`` data
    set."""
    views: bool = False
    """Whether images are contrasted with views of a generator that is frozen in this stage."""
    learning_rate: Positive = 3.5e-4
    """Learning rate of the identity encoder."""
    weight_decay: NotNegative = 5e-4
    """Weight decay of the identity encoder."""
    warmup_epochs: CountOrZero = 0
    """Epochs of linear learning-rate warm-up."""
    decay_every: Count | None = 20
    """Epochs between multiplications of the learning rate by 0.1; null keeps it constant."""
    generator_learning_rate: Positive = 1e-4
    """Learning rate of generator and discriminator."""
    optimizer: OptimizerName = "adam"
    """Optimiser of the identity encoder; ``sgd`` has Nesterov momentum 0.9."""
    augment: Augment | None = None
    """Augmentation of this stage; null takes that of the run."""
    sampler: Sampler | None = None
    """Sampler of this stage; null takes that of the run."""
    clustering: Clustering | None = None
    """Clustering of this stage; null takes that of the run."""
    loss: Loss | None = None
    """Contrastive losses of this stage; null takes those of the run."""

"""What a stage learns from, and by which terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from reid_gen.cluster.pseudo_labels import PseudoLabels
from reid_gen.data.batch_sampler import Pool
from reid_gen.data.transforms import Augmentation
from reid_gen.memory.bank import MemoryBank
from reid_gen.training.contrastive_terms import ContrastTerms
from reid_gen.types import Float32Array, Int64Array


@dataclass(frozen=True)
class StageRecipe:
    """The parts of a run's settings that a stage may have its own of.

    Attributes:
        pool: Images that it learns from.
        labels: Their true labels [N], for a source data set; None clusters them.
        optimizer: Of the identity encoder.
        augmentation: Random changes of an image.
        cluster: From features [N, D] to pseudo labels.
        contrast: From a memory bank to the contrastive terms.
        weights: Weight of every loss term.
        camids: Camera of each image, [N], if a term contrasts camera proxies.
    """

    pool: Pool
    labels: Int64Array | None
    optimizer: Literal["adam", "sgd"]
    augmentation: Augmentation
    cluster: Callable[[Float32Array], PseudoLabels]
    contrast: Callable[[MemoryBank], ContrastTerms]
    weights: Mapping[str, float]
    camids: Int64Array | None = None

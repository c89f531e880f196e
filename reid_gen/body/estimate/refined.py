"""Refinement of estimated bodies by keypoints and masks."""

from __future__ import annotations

from dataclasses import replace

from reid_gen.body.estimate.estimator import BodyEstimator
from reid_gen.body.estimate.keypoints_and_masks import EvidenceFiles
from reid_gen.body.estimate.smplify import refine
from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.table import BodyTable
from reid_gen.types import Uint8Array


class RefinedEstimator:
    """Body estimator that fits another estimator's bodies to keypoints and masks.

    Args:
        estimator: Estimator of the initial bodies.
        evidence: Keypoints and masks of the images.
        body: Body model of the estimates.
        rasteriser: Rasteriser for the comparison with masks.
    """

    def __init__(
        self,
        estimator: BodyEstimator,
        evidence: EvidenceFiles,
        body: BodyModel,
        rasteriser: Rasteriser = rasterise,
    ) -> None:
        self.estimator = estimator
        self.evidence = evidence
        self.body = body
        self.rasteriser = rasteriser
        self.source = f"{estimator.source}, refined by {evidence.source}"
        self.height, self.width = estimator.height, estimator.width

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate the bodies in the images ``keys``, then fit them to the evidence."""
        table = replace(self.estimator(keys, pixels), source=self.source)
        evidence = self.evidence.load(keys, self.height, self.width)
        return refine(table, evidence, self.body, self.rasteriser)

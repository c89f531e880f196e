"""The choice of a body estimator by files; a new estimator takes a case here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reid_gen.body.estimate import foreign_checkpoints
from reid_gen.body.estimate.estimator import BodyEstimator, RegressorEstimator
from reid_gen.body.estimate.foreign_checkpoints import CheckpointEstimator
from reid_gen.body.estimate.foreign_files import PrecomputedBodies
from reid_gen.body.estimate.keypoints_and_masks import EvidenceFiles
from reid_gen.body.estimate.refined import RefinedEstimator
from reid_gen.body.model import load_body
from reid_gen.body.render.rasterisers import load_rasteriser


@dataclass(frozen=True)
class EstimatorFiles:
    """Files that say which body estimator is used; see the options of ``reid-gen meshes``.

    Attributes:
        weights: Weights of our regressor or of a published network; None for the built-in ones.
        folder: Folder of bodies that another program estimated; None to estimate them.
        body: SMPL model, for bodies and networks of other programs.
        keypoints: File of keypoints that bodies are fitted to.
        masks: Folder of person masks that bodies are fitted to.
        rasteriser: Rasteriser for the comparison with masks.
    """

    weights: Path | None
    folder: Path | None
    body: Path | None
    keypoints: Path | None
    masks: Path | None
    rasteriser: str

    @property
    def needs_paths(self) -> bool:
        """Whether the estimator reads files that are named after images."""
        return any((self.folder, self.keypoints, self.masks))

    def open(self, paths: Mapping[str, Path]) -> BodyEstimator:
        """Create the estimator.

        Args:
            paths: Image path of each key; may be empty unless :attr:`needs_paths`.

        Raises:
            UserError: If a file is missing, or is not of its kind.
        """
        model = load_body(self.body)
        estimator: BodyEstimator
        if self.folder is not None:
            estimator = PrecomputedBodies(self.folder, paths, model)
        elif self.weights is not None and self.weights.suffix in foreign_checkpoints.SUFFIXES:
            estimator = CheckpointEstimator(self.weights, model)
        else:
            estimator = RegressorEstimator(self.weights)
        if self.keypoints or self.masks:
            evidence = EvidenceFiles(self.keypoints, self.masks, paths)
            rasterise = load_rasteriser(self.rasteriser)
            estimator = RefinedEstimator(estimator, evidence, model, rasterise)
        return estimator

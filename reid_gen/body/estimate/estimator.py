"""The interface of body estimators, and the estimator that runs our mesh regressor."""

from __future__ import annotations

import hashlib
from importlib.resources import as_file, files
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.int8_weights import dequantise
from reid_gen.body.estimate.regressor import HEIGHT, WIDTH, MeshRegressor
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.tensors import load_strictly, read_weights
from reid_gen.types import Uint8Array


class BodyEstimator(Protocol):
    """Estimates one body per crop.

    Attributes:
        source: Origin of the bodies; tables of different sources are never mixed.
        height: Height in pixels of its input crops.
        width: Width in pixels of its input crops.
    """

    source: str
    height: int
    width: int

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate the bodies in images ``keys``, decoded to [B, height, width, 3] in 0..255."""


class RegressorEstimator:
    """Estimates bodies with a :class:`MeshRegressor`.

    Args:
        weights: Weights of the regressor, ``.safetensors``; None for the bundled weights.

    Raises:
        UserError: If the file is missing or holds no mesh regressor.
    """

    height, width = HEIGHT, WIDTH

    def __init__(self, weights: Path | None = None) -> None:
        with as_file(files("reid_gen.body") / "assets" / "regressor.safetensors") as bundled:
            weights = weights or bundled
            tensors = read_weights(weights)
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.source = f"mesh regressor {digest[:16]}"
        self.regressor = MeshRegressor()
        way_out = "give weights written by tools/train_regressor.py"
        try:
            state = dequantise(tensors)
        except ValueError as error:
            raise UserError(f"{weights} is no mesh regressor: {error}; {way_out}") from error
        load_strictly(self.regressor, state, str(weights), way_out=way_out)
        self.regressor.eval().to(memory_format=torch.channels_last)

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate the bodies in crops [B, HEIGHT, WIDTH, 3] in 0..255."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            estimate = self.regressor(images)
        matrices = estimate.rotation.reshape(-1, 3, 3).numpy()
        rotation_vectors = Rotation.from_matrix(matrices).as_rotvec()
        return BodyTable(
            keys=keys,
            pose=rotation_vectors.reshape(-1, 24, 3).astype(np.float32),
            shape=estimate.shape.numpy(),
            camera=estimate.camera.numpy(),
            score=estimate.score.numpy(),
            size=np.tile([HEIGHT, WIDTH], (len(keys), 1)),
            source=self.source,
        )

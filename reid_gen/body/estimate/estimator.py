"""Bodies in crops: the built-in mesh regressor, and what bodies of any source have in common."""

from __future__ import annotations

import hashlib
from importlib.resources import as_file, files
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.estimate.int8_weights import unpack
from reid_gen.body.estimate.regressor import HEIGHT, WIDTH, MeshRegressor
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.tensors import load_strictly, read_weights
from reid_gen.types import Uint8Array


class Recovery(Protocol):
    """Whatever finds one body per crop.

    Attributes:
        source: Says where its bodies come from; tables of different sources are never mixed.
        height: Of the crops that it takes.
        width: Of the crops that it takes.
    """

    source: str
    height: int
    width: int

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Bodies in the images of ``keys``, decoded to [B, height, width, 3] in 0..255."""


class MeshRecovery:
    """Estimates one body per crop.

    Args:
        weights: Of a :class:`MeshRegressor`, ``.safetensors``; None for those that come with the
            program.

    Raises:
        UserError: If the file is missing or holds no regressor.
    """

    height, width = HEIGHT, WIDTH

    def __init__(self, weights: Path | None = None) -> None:
        with as_file(files("reid_gen.body") / "assets" / "regressor.safetensors") as own:
            weights = weights or own
            tensors = read_weights(weights)
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.source = f"mesh regressor {digest[:16]}"
        self.regressor = MeshRegressor()
        way_out = "give a file that tools/train_regressor.py wrote"
        try:
            state = unpack(tensors)
        except ValueError as error:
            raise UserError(f"{weights} is no mesh regressor: {error}; {way_out}") from error
        load_strictly(self.regressor, state, str(weights), way_out=way_out)
        self.regressor.eval().to(memory_format=torch.channels_last)

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate bodies in crops [B, HEIGHT, WIDTH, 3] in 0..255."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found = self.regressor(images)
        vectors = Rotation.from_matrix(found.rotation.reshape(-1, 3, 3).numpy()).as_rotvec()
        return BodyTable(
            keys=keys,
            pose=vectors.reshape(-1, 24, 3).astype(np.float32),
            shape=found.shape.numpy(),
            camera=found.camera.numpy(),
            score=found.score.numpy(),
            size=np.tile([HEIGHT, WIDTH], (len(keys), 1)),
            source=self.source,
        )

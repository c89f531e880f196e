"""The encoder for other programs: crops in, features out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from reid_gen.data.transforms import to_images
from reid_gen.engine.checkpoint import load_encoder
from reid_gen.engine.exported import Compute, is_exported, open_exported
from reid_gen.engine.runtime import Runtime
from reid_gen.errors import UserError
from reid_gen.evaluation.features import Encode
from reid_gen.models.encoder import EncoderCard
from reid_gen.types import Floats, Pixels

GREY = 124
"""What the edges of a letterboxed crop are filled with: about the mean of pictures."""


class ReidModel:
    """Encodes crops of people, from a run or an ``.onnx`` file.

    Example::

        model = ReidModel("runs/baseline_market_small")
        features = model([crop_one, crop_two])     # RGB uint8, any sizes -> [2, D] float32
        likeness = features @ features.T           # cosines

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        letterbox: Keep a crop's proportions and fill the rest with grey; else it is stretched, as
            in training.
        batch: Crops per pass.

    Raises:
        UserError: If the file is missing or is no encoder of ours, or a package is missing.
    """

    card: EncoderCard

    def __init__(self, path: str | Path, *, letterbox: bool = False, batch: int = 64) -> None:
        self.card, self._compute = _load(Path(path))
        self.letterbox = letterbox
        self.batch = batch

    def __call__(self, crops: Sequence[Pixels]) -> Floats:
        """Encode RGB crops, [h, w, 3] uint8 each, to unit features [B, D] float32.

        Raises:
            UserError: If a crop has another shape or type, or no pixels.
        """
        pixels = [self._prepared(crop, number) for number, crop in enumerate(crops)]
        if not pixels:
            return np.empty((0, len(self._one())), np.float32)
        images = to_images(np.stack(pixels)).contiguous().numpy()
        parts = range(0, len(images), self.batch)
        return np.concatenate([self._compute(images[p : p + self.batch]) for p in parts])

    def _one(self) -> Floats:
        size = (1, 3, self.card.height, self.card.width)
        found: Floats = self._compute(np.zeros(size, np.float32))[0]
        return found

    def _prepared(self, crop: Pixels, number: int) -> Pixels:
        if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
            raise UserError(
                f"crop {number} is {crop.dtype} {list(crop.shape)}; RGB pixels [h, w, 3] in uint8 "
                "are wanted"
            )
        high, wide = self.card.height, self.card.width
        picture = Pillow.fromarray(crop)
        if not self.letterbox:
            return np.asarray(picture.resize((wide, high), Pillow.Resampling.BICUBIC))
        scale = min(high / picture.height, wide / picture.width)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        boxed = Pillow.new("RGB", (wide, high), (GREY,) * 3)
        place = ((wide - size[0]) // 2, (high - size[1]) // 2)
        boxed.paste(picture.resize(size, Pillow.Resampling.BICUBIC), place)
        return np.asarray(boxed)


def open_encoder(path: Path, precision: Literal["bf16", "fp32"]) -> tuple[Encode, EncoderCard]:
    """What encodes images [B, 3, H, W] in 0..1, and their size.

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        precision: Of a run; an exported file has its own.

    Raises:
        UserError: If the file is missing or is no encoder of ours, or a package is missing.
    """
    if not is_exported(path):
        encoder, card = load_encoder(path)
        return Runtime(precision).encoder(encoder), card
    card, compute = open_exported(path)
    return lambda images: torch.from_numpy(compute(images.contiguous().numpy())), card


def check_runtime(path: Path, wanted: Literal["onnx", "torch"] | None) -> None:
    """Stop if another runtime than the wanted one runs a model; None takes any.

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        wanted: ONNX Runtime or torch.

    Raises:
        UserError: If it is the other one.
    """
    found = "onnx" if is_exported(path) else "torch"
    if wanted is None or wanted == found:
        return
    if wanted == "onnx":
        raise UserError(
            f"--runtime onnx wants an .onnx file, and torch runs {path}; make one: "
            f"reid-gen export {path} --out encoder.onnx"
        )
    raise UserError(
        f"--runtime torch wants a run or a checkpoint, and ONNX Runtime runs {path}; "
        "give what it was exported from, or leave --runtime out"
    )


def _load(path: Path) -> tuple[EncoderCard, Compute]:
    if is_exported(path):
        return open_exported(path)
    encoder, card = load_encoder(path)
    return card, _torch(encoder)


def _torch(network: Callable[[torch.Tensor], torch.Tensor]) -> Compute:
    def compute(images: NDArray[np.float32]) -> Floats:
        with torch.no_grad():
            found: Floats = network(torch.from_numpy(images)).float().numpy()
        return found

    return compute

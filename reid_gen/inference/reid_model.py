"""The encoder for other programs: crops in, features out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from reid_gen.data.images import UnreadableImage, decode, unreadable_error, upright_rgb
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.inference.exported_model import Compute, is_exported, no_device, open_exported
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import EncoderCard, FeatureExtractor
from reid_gen.runtime.devices import Runtime
from reid_gen.types import Float32Array, Uint8Array

Crop = Uint8Array | Pillow.Image | str | Path
"""RGB pixels [h, w, 3] in uint8, a PIL image, or the path of an image file."""
RULE = "give RGB pixels [h, w, 3] in uint8, PIL images or paths of images, one or many"
GREY = 124
"""What the edges of a letterboxed crop are filled with: about the mean of pictures."""


class ReidModel:
    """Encodes crops of people, from a run or an ``.onnx`` file.

    Example::

        model = ReidModel("runs/baseline_market_small")
        features = model([crop_one, crop_two])     # RGB uint8, any sizes -> [2, D] float32
        features = model(sorted(folder.iterdir())) # files, PIL images, or one alone -> [B, D]
        likeness = features @ features.T           # cosines

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` takes an accelerator where there
            is one.
        letterbox: Keep a crop's proportions and fill the rest with grey; else it is stretched, as
            in training.
        batch: Crops per pass; no more are held in memory as floats.

    Raises:
        UserError: If the file is missing or is no encoder of ours, a package is missing, or the
            device or the batch cannot be had.
    """

    card: EncoderCard

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        letterbox: bool = False,
        batch: int = 64,
    ) -> None:
        if not isinstance(path, str | Path):
            raise UserError(f"a model is the path of a run or a file, got {path!r}")
        if batch < 1:
            raise UserError(f"batch must be at least 1, got {batch}")
        self.card, self._compute = _load(Path(path), device)
        self.letterbox = letterbox
        self.batch = batch

    def __call__(self, crops: Crop | Iterable[Crop]) -> Float32Array:
        """FeatureExtractor crops to unit features [B, D] float32; one alone gives [1, D].

        Raises:
            UserError: If something is no crop, has no pixels or does not decode.
        """
        parts = [self._encode(part) for part in self._batches(crops)]
        return np.concatenate(parts) if parts else self._encode([])

    def _batches(self, crops: Crop | Iterable[Crop]) -> Iterator[list[Uint8Array]]:
        prepared = (self._prepared(crop, number) for number, crop in enumerate(_several(crops)))
        return iter(lambda: list(islice(prepared, self.batch)), [])

    def _encode(self, crops: list[Uint8Array]) -> Float32Array:
        """Features of crops of the encoder's size; without any a blank one tells their length."""
        blank = np.zeros((1, self.card.height, self.card.width, 3), np.uint8)
        images = to_images(np.stack(crops) if crops else blank).contiguous().numpy()
        return self._compute(images)[: len(crops)]

    def _prepared(self, crop: Crop, number: int) -> Uint8Array:
        high, wide = self.card.height, self.card.width
        picture = Pillow.fromarray(_pixels(crop, number))
        if not self.letterbox:
            return np.asarray(picture.resize((wide, high), Pillow.Resampling.BICUBIC))
        scale = min(high / picture.height, wide / picture.width)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        boxed = Pillow.new("RGB", (wide, high), (GREY,) * 3)
        place = ((wide - size[0]) // 2, (high - size[1]) // 2)
        boxed.paste(picture.resize(size, Pillow.Resampling.BICUBIC), place)
        return np.asarray(boxed)


def _several(crops: Crop | Iterable[Crop]) -> Iterable[Crop]:
    """The crops one by one, where there may be one alone."""
    if isinstance(crops, str | Path | Pillow.Image):
        return [crops]
    if isinstance(crops, np.ndarray):
        return crops if crops.ndim in (1, 4) else [crops]
    if not isinstance(crops, Iterable):
        raise UserError(f"crops are {crops!r}; {RULE}")
    return crops


def _pixels(crop: Crop, number: int) -> Uint8Array:
    """RGB pixels [h, w, 3] in uint8 of a crop."""
    if isinstance(crop, str | Path):
        try:
            return decode(Path(crop))
        except UnreadableImage as error:
            raise unreadable_error([error]) from error
    if isinstance(crop, Pillow.Image):
        try:
            return np.asarray(upright_rgb(crop))
        except (OSError, ValueError) as error:
            raise UserError(f"crop {number} cannot be read ({error}); {RULE}") from error
    if not isinstance(crop, np.ndarray):
        raise UserError(f"crop {number} is {type(crop).__name__} {crop!r:.50}; {RULE}")
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
        raise UserError(f"crop {number} is {crop.dtype} {list(crop.shape)}; {RULE}")
    return crop


def open_encoder(
    path: Path, precision: Literal["bf16", "fp32"]
) -> tuple[FeatureExtractor, EncoderCard]:
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


def _load(path: Path, device: str) -> tuple[EncoderCard, Compute]:
    if is_exported(path):
        return open_exported(path, device)
    place = _place(device)
    encoder, card = load_encoder(path)
    return card, _torch(encoder.to(place), place)


def _place(device: str) -> torch.device:
    if device == "auto":
        accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((name for name, there in accelerators.items() if there), "cpu"))
    try:
        place = torch.device(device)
        torch.zeros(1, device=place).cpu()
    except (AssertionError, RuntimeError, TypeError) as error:
        raise UserError(no_device(device, str(error).split("\n")[0])) from error
    return place


def _torch(network: Callable[[torch.Tensor], torch.Tensor], place: torch.device) -> Compute:
    def compute(images: NDArray[np.float32]) -> Float32Array:
        with torch.no_grad():
            features: Float32Array = (
                network(torch.from_numpy(images).to(place)).float().cpu().numpy()
            )
        return features

    return compute

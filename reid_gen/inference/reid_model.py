"""Python interface of a trained encoder: person crops in, features out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from reid_gen.choices import Precision, RuntimeName
from reid_gen.data.images import UnreadableImage, decode, unreadable_error, upright_rgb
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.inference.exported_model import (
    ComputeFeatures,
    is_exported,
    open_exported,
    unavailable_device_error,
)
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import EncoderCard, FeatureExtractor
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.transfer import to_unit_range
from reid_gen.types import Float32Array, Uint8Array

Crop = Uint8Array | Pillow.Image | str | Path
"""RGB pixels [h, w, 3] in uint8, a PIL image, or the path of an image file."""
ACCEPTED_CROPS = "give RGB pixels [h, w, 3] in uint8, PIL images or paths of images, one or many"
GREY = 124
"""Padding value of letterboxed crops, close to the ImageNet mean (0.485 * 255)."""


class ReidModel:
    """Person re-ID model: encodes crops with the encoder of a run or an ``.onnx`` file.

    Example::

        model = ReidModel("runs/baseline_market_small")
        features = model([first, second])          # RGB uint8 of any size -> [2, D] float32
        features = model(sorted(folder.iterdir())) # files, PIL images or a single crop -> [B, D]
        similarity = features @ features.T         # cosine similarities

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` selects an accelerator if one is
            available.
        letterbox: Whether to keep the aspect ratio of crops and pad them with grey. By default
            crops are stretched to the input size, as in training.
        batch: Number of crops per forward pass; only one batch at a time is in memory as float32.

    Attributes:
        card: Architecture and input size of the encoder.

    Raises:
        UserError: If the file is missing or not a reid-gen encoder, a package is missing, the
            device is not available, or the batch size is below 1.
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
            raise UserError(f"a model must be the path of a run or a file, got {path!r}")
        if batch < 1:
            raise UserError(f"batch must be at least 1, got {batch}")
        self.card, self._compute = _load(Path(path), device)
        self.letterbox = letterbox
        self.batch = batch

    def __call__(self, crops: Crop | Iterable[Crop]) -> Float32Array:
        """Encode crops to L2-normalised features [B, D] float32; a single crop gives [1, D].

        Raises:
            UserError: If an item is not a crop, has no pixels or does not decode.
        """
        features = [self._encode(batch) for batch in self._batches(crops)]
        return np.concatenate(features) if features else self._encode([])

    def _batches(self, crops: Crop | Iterable[Crop]) -> Iterator[list[Uint8Array]]:
        prepared = (self._prepare(crop, index) for index, crop in enumerate(_as_iterable(crops)))
        return iter(lambda: list(islice(prepared, self.batch)), [])

    def _encode(self, crops: list[Uint8Array]) -> Float32Array:
        """Encode crops of the input size; for no crops, a blank one gives the feature size."""
        blank = np.zeros((1, self.card.height, self.card.width, 3), np.uint8)
        images = to_images(np.stack(crops) if crops else blank).contiguous().numpy()
        return self._compute(images)[: len(crops)]

    def _prepare(self, crop: Crop, index: int) -> Uint8Array:
        """Resize a crop to the encoder's input size; error messages name its index in the input."""
        height, width = self.card.height, self.card.width
        image = Pillow.fromarray(_to_pixels(crop, index))
        if not self.letterbox:
            return np.asarray(image.resize((width, height), Pillow.Resampling.BICUBIC))
        scale = min(height / image.height, width / image.width)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        canvas = Pillow.new("RGB", (width, height), (GREY,) * 3)
        corner = ((width - size[0]) // 2, (height - size[1]) // 2)
        canvas.paste(image.resize(size, Pillow.Resampling.BICUBIC), corner)
        return np.asarray(canvas)


def _as_iterable(crops: Crop | Iterable[Crop]) -> Iterable[Crop]:
    """Return the crops as an iterable; a single crop is wrapped in a list."""
    if isinstance(crops, str | Path | Pillow.Image):
        return [crops]
    if isinstance(crops, np.ndarray):
        return crops if crops.ndim in (1, 4) else [crops]
    if not isinstance(crops, Iterable):
        raise UserError(f"crops cannot be {crops!r}; {ACCEPTED_CROPS}")
    return crops


def _to_pixels(crop: Crop, index: int) -> Uint8Array:
    """Decode or check a crop; return its RGB pixels [h, w, 3] in uint8."""
    if isinstance(crop, str | Path):
        try:
            return decode(Path(crop))
        except UnreadableImage as error:
            raise unreadable_error([error]) from error
    if isinstance(crop, Pillow.Image):
        try:
            return np.asarray(upright_rgb(crop))
        except (OSError, ValueError) as error:
            raise UserError(f"crop {index} cannot be read ({error}); {ACCEPTED_CROPS}") from error
    if not isinstance(crop, np.ndarray):
        raise UserError(f"crop {index} is {type(crop).__name__} {crop!r:.50}; {ACCEPTED_CROPS}")
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
        raise UserError(f"crop {index} is {crop.dtype} {list(crop.shape)}; {ACCEPTED_CROPS}")
    return crop


def open_encoder(path: Path, precision: Precision) -> tuple[FeatureExtractor, EncoderCard]:
    """Load an encoder, which maps images [B, 3, H, W] to features, and its card.

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        precision: Compute precision of a run or checkpoint; exported files have a fixed one.

    Raises:
        UserError: If the file is missing or not a reid-gen encoder, or a package is missing.
    """
    if not is_exported(path):
        encoder, card = load_encoder(path)
        return Runtime(precision).encoder(encoder), card
    card, compute = open_exported(path)

    def encode(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(compute(to_unit_range(images).contiguous().numpy()))

    return encode, card


def check_runtime(path: Path, required: RuntimeName | None) -> None:
    """Check that a model runs on the required runtime.

    Args:
        path: Run folder, checkpoint or ``.onnx`` file.
        required: ONNX Runtime or torch; None accepts both.

    Raises:
        UserError: If the model needs the other runtime.
    """
    needed = "onnx" if is_exported(path) else "torch"
    if required is None or required == needed:
        return
    if required == "onnx":
        raise UserError(
            f"--runtime onnx needs an .onnx file, but {path} runs on torch; export it: "
            f"reid-gen export {path} --out encoder.onnx"
        )
    raise UserError(
        f"--runtime torch needs a run or a checkpoint, but {path} runs on ONNX Runtime; "
        "give the run that it was exported from, or leave --runtime out"
    )


def _load(path: Path, device: str) -> tuple[EncoderCard, ComputeFeatures]:
    if is_exported(path):
        return open_exported(path, device)
    torch_device = _resolve_device(device)
    encoder, card = load_encoder(path)
    return card, _torch_compute(encoder.to(torch_device), torch_device)


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(
            next((name for name, available in accelerators.items() if available), "cpu")
        )
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (AssertionError, RuntimeError, TypeError) as error:
        raise unavailable_device_error(name, str(error).split("\n")[0]) from error
    return device


def _torch_compute(
    network: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> ComputeFeatures:
    def compute(images: NDArray[np.float32]) -> Float32Array:
        with torch.no_grad():
            features: Float32Array = (
                network(torch.from_numpy(images).to(device)).float().cpu().numpy()
            )
        return features

    return compute

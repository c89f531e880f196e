"""Encoders that `reid-gen export` wrote, read as files of anybody: checked before they are used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from reid_gen.errors import UserError
from reid_gen.extras import need
from reid_gen.inference.export import CARD, FORMATS, INPUT, OUTPUT
from reid_gen.models.encoder import EncoderCard
from reid_gen.types import Float32Array

Compute = Callable[[NDArray[np.float32]], Float32Array]
"""From images in 0..1, [B, 3, H, W], to unit features [B, D]."""
WAY_OUT = "give a file that `reid-gen export` wrote"


def is_exported(path: Path) -> bool:
    """Whether a path is of an exported encoder by its ending."""
    return path.suffix.lower() in FORMATS


def open_exported(path: Path, device: str = "auto") -> tuple[EncoderCard, Compute]:
    """Read an ``.onnx`` file.

    Args:
        path: The file.
        device: Where ONNX Runtime computes: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Returns:
        Its card, and what computes features.

    Raises:
        UserError: If it is missing, of another ending, damaged or no encoder of ours, or a package
            is missing, or the device cannot be had.
    """
    if path.suffix.lower() == ".pt2":
        raise UserError(
            f"{path} is of torch.export: it holds Python pickles, which could run any code, and is "
            "not read; give the run that it was exported from, or export it to .onnx"
        )
    if not path.is_file():
        raise UserError(f"no exported encoder at {path}; make one: reid-gen export")
    need(str(path), "onnx", "onnxruntime")
    import onnxruntime

    providers = _providers(device, onnxruntime.get_available_providers())
    content = path.read_bytes()
    _check_weights(content, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is in our message
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        described = session.get_modelmeta().custom_metadata_map.get(CARD, "")
    except Exception as error:  # onnxruntime's errors have no class in common
        raise UserError(
            f"{path} is no readable ONNX file: it is damaged or of an unknown version; {WAY_OUT}"
        ) from error
    card = _card(described, path)

    def compute(images: NDArray[np.float32]) -> Float32Array:
        found: Float32Array = session.run([OUTPUT], {INPUT: images})[0]
        return found

    _try(compute, card, path)
    return card, compute


def _check_weights(content: bytes, path: Path) -> None:
    import onnx

    try:
        weights = onnx.load_from_string(content).graph.initializer
        # Weights in other files could be any files of this machine.
        beside = [one.name for one in weights if one.data_location == onnx.TensorProto.EXTERNAL]
        odd = [] if beside else [one.name for one in weights if not _finite(one)]
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is no readable ONNX file: it is damaged; {WAY_OUT}") from error
    if beside or odd:
        fault = "lie in other files" if beside else "are not finite (NaN or infinite)"
        raise UserError(f"{path}: weights such as {(beside or odd)[0]} {fault}; {WAY_OUT}")


def _finite(weights: Any) -> bool:
    from onnx import numpy_helper

    values = numpy_helper.to_array(weights)
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _card(text: str, path: Path) -> EncoderCard:
    if not text:
        raise UserError(f"{path} does not say what it is; {WAY_OUT}")
    try:
        return TypeAdapter(EncoderCard).validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise UserError(
            f"the card in {path} is damaged: {key}: {fault['msg']}; {WAY_OUT}"
        ) from error


def _try(compute: Compute, card: EncoderCard, path: Path) -> None:
    """See that it gives a feature for an image as the card says."""
    try:
        feature = compute(np.full((1, 3, card.height, card.width), 0.5, np.float32))
        fits = feature.ndim == 2 and len(feature) == 1 and bool(np.isfinite(feature).all())
    except Exception as error:  # onnxruntime's errors have no class in common
        raise UserError(
            f"{path} does not take images of {card.height} x {card.width}, as its card says; "
            f"{WAY_OUT}"
        ) from error
    if not fits:
        raise UserError(f"{path} does not give a finite feature for each image; {WAY_OUT}")


def _providers(device: str, available: list[str]) -> list[str | tuple[str, dict[str, int]]]:
    """What ONNX Runtime computes by, the best first."""
    if device == "auto":
        return [*available]
    kind, _, number = str(device).partition(":")
    name = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
    if name not in available or not (number or "0").isdecimal():
        raise UserError(no_device(device, f"ONNX Runtime has {', '.join(available)}"))
    return [(name, {"device_id": int(number)} if number else {})]


def no_device(device: str, reason: str) -> str:
    """The message for a device that cannot be had."""
    return f"device {device!r} cannot be had ({reason}); give auto, cpu, cuda, cuda:1 or mps"

"""Loading of ONNX encoders written by `reid-gen export`; files are untrusted and checked first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from reid_gen.errors import UserError
from reid_gen.extras import need
from reid_gen.inference.export import CARD_KEY, EXPORT_SUFFIXES, INPUT_NAME, OUTPUT_NAME
from reid_gen.models.encoder import EncoderCard
from reid_gen.types import Float32Array

ComputeFeatures = Callable[[NDArray[np.float32]], Float32Array]
"""Maps images in 0..1, [B, 3, H, W], to L2-normalised features [B, D]."""
WAY_OUT = "give a file that `reid-gen export` wrote"


def is_exported(path: Path) -> bool:
    """Return whether the file extension is that of an exported encoder."""
    return path.suffix.lower() in EXPORT_SUFFIXES


def open_exported(path: Path, device: str = "auto") -> tuple[EncoderCard, ComputeFeatures]:
    """Load an encoder from an ``.onnx`` file.

    Args:
        path: File to read.
        device: Device of ONNX Runtime: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Returns:
        Card of the encoder, and a function from images to features.

    Raises:
        UserError: If the file is missing, damaged, not ONNX or not exported by reid-gen, if a
            package is missing, or if the device is not available.
    """
    if path.suffix.lower() == ".pt2":
        raise UserError(
            f"{path} is a torch.export file, which reid-gen does not load, because its Python "
            "pickles could run any code; give the run that it was exported from, or export that "
            "run to .onnx"
        )
    if not path.is_file():
        raise UserError(f"no exported encoder at {path}; create one with reid-gen export")
    need(str(path), "onnx", "onnxruntime")
    import onnxruntime

    providers = _select_providers(device, onnxruntime.get_available_providers())
    content = path.read_bytes()
    _check_weights(content, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the UserErrors below report failures
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
        metadata = session.get_modelmeta().custom_metadata_map.get(CARD_KEY, "")
    except Exception as error:  # onnxruntime's errors share no base class
        raise UserError(
            f"{path} is not a readable ONNX file: it is damaged or of an unknown version; {WAY_OUT}"
        ) from error
    card = _parse_card(metadata, path)

    def compute(images: NDArray[np.float32]) -> Float32Array:
        features: Float32Array = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return features

    _check_output(compute, card, path)
    return card, compute


def _check_weights(content: bytes, path: Path) -> None:
    """Check that all weights are finite and stored in the file itself."""
    import onnx

    try:
        weights = onnx.load_from_string(content).graph.initializer
        # External weights are paths, which could point to any file of the computer.
        external = [w.name for w in weights if w.data_location == onnx.TensorProto.EXTERNAL]
        not_finite = [] if external else [w.name for w in weights if not _is_finite(w)]
    except Exception as error:  # a damaged file raises almost anything
        raise UserError(f"{path} is not a readable ONNX file: it is damaged; {WAY_OUT}") from error
    if external or not_finite:
        name = (external or not_finite)[0]
        problem = "are stored in other files" if external else "are not finite (NaN or infinite)"
        raise UserError(f"{path}: weights such as {name} {problem}; {WAY_OUT}")


def _is_finite(weights: Any) -> bool:
    from onnx import numpy_helper

    values = numpy_helper.to_array(weights)
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _parse_card(text: str, path: Path) -> EncoderCard:
    if not text:
        raise UserError(f"{path} has no reid-gen metadata; {WAY_OUT}")
    try:
        return TypeAdapter(EncoderCard).validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(map(str, detail["loc"]))
        raise UserError(
            f"the reid-gen metadata of {path} is damaged: {key}: {detail['msg']}; {WAY_OUT}"
        ) from error


def _check_output(compute: ComputeFeatures, card: EncoderCard, path: Path) -> None:
    """Check that the model maps an image of the card's size to a finite feature."""
    try:
        feature = compute(np.full((1, 3, card.height, card.width), 0.5, np.float32))
        valid = feature.ndim == 2 and len(feature) == 1 and bool(np.isfinite(feature).all())
    except Exception as error:  # onnxruntime's errors share no base class
        raise UserError(
            f"{path} does not accept images of {card.height} x {card.width}, the size in its "
            f"metadata; {WAY_OUT}"
        ) from error
    if not valid:
        raise UserError(f"{path} does not compute a finite feature for each image; {WAY_OUT}")


def _select_providers(device: str, available: list[str]) -> list[str | tuple[str, dict[str, int]]]:
    """Select the execution providers of ONNX Runtime, in order of preference."""
    if device == "auto":
        return [*available]
    device_type, _, index = str(device).partition(":")
    name = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device_type)
    if name not in available or not (index or "0").isdecimal():
        raise unavailable_device_error(device, f"ONNX Runtime has {', '.join(available)}")
    return [(name, {"device_id": int(index)} if index else {})]


def unavailable_device_error(device: str, reason: str) -> UserError:
    """Return the error for a device that is not available."""
    return UserError(
        f"device {device!r} is not available ({reason}); give auto, cpu, cuda, cuda:1 or mps"
    )

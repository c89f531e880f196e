"""Export of an encoder to ONNX, which runs without torch and this project, or torch.export."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import to_images
from reid_gen.errors import UserError
from reid_gen.extras import need
from reid_gen.files import as_json, write_bytes
from reid_gen.models.encoder import EncoderCard, IdentityEncoder
from reid_gen.types import Image

FORMATS = (".onnx", ".pt2")
MIN_OPSET, MAX_OPSET = 18, 23
"""Range of ONNX opsets: torch writes no older ones, newer ones need a newer ONNX Runtime."""
INPUT, OUTPUT = "images", "feature"
TOLERANCE = 1e-4
"""Largest allowed absolute difference between exported and torch features."""
CARD = "reid_gen"
"""Name of the file's metadata entry with architecture and input size."""
MIN_CALIBRATION_CROPS = 16
"""Smallest number of crops for int8 calibration."""


def export_encoder(
    encoder: IdentityEncoder, card: EncoderCard, target: Path, opset: int = MIN_OPSET
) -> float:
    """Export an encoder and check its features against torch.

    The exported model maps RGB images in 0..1, [B, 3, H, W] with dynamic B, to L2-normalised
    features [B, D].

    Args:
        encoder: Encoder to export; converted to float32 on the CPU.
        card: Architecture and input size of the encoder.
        target: File to write: ``.onnx``, or ``.pt2`` for torch.export, which this project does not
            read back.
        opset: ONNX opset, ``MIN_OPSET`` to ``MAX_OPSET``.

    Returns:
        The largest absolute difference from torch on random images.

    Raises:
        UserError: If the file extension is unknown, a package is missing, the file cannot be
            written, or the exported features differ from torch; nothing is written then.
    """
    if target.suffix not in FORMATS:
        raise UserError(f"{target} must end in {' or '.join(FORMATS)}")
    encoder = encoder.eval().float().cpu()
    content = _to_onnx(encoder, card, opset) if target.suffix == ".onnx" else _to_pt2(encoder, card)
    torch.manual_seed(0)
    images = torch.rand(3, 3, card.height, card.width)
    with torch.no_grad():
        expected = encoder(images).numpy()
    if not np.isfinite(expected).all():
        raise UserError(
            "the encoder computes features that are not finite (NaN or infinite); nothing was "
            "written. Export another run"
        )
    actual = _run(content, target.suffix, images.numpy())
    difference = float(np.abs(actual - expected).max())
    if not difference <= TOLERANCE:  # false for NaN, too
        raise UserError(
            f"the exported encoder differs from torch by {difference:.1e}, and at most "
            f"{TOLERANCE:.0e} is allowed; nothing was written. "
            f"Try {' or '.join(set(FORMATS) - {target.suffix})}"
        )
    write_bytes(target, content)
    return difference


def _example_input(card: EncoderCard) -> torch.Tensor:
    return torch.zeros(2, 3, card.height, card.width)


def _to_pt2(encoder: IdentityEncoder, card: EncoderCard) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(encoder, (_example_input(card),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{CARD}.json": as_json(card.as_dict(), None)})
    return buffer.getvalue()


def _to_onnx(encoder: IdentityEncoder, card: EncoderCard, opset: int) -> bytes:
    need("ONNX", "onnx", "onnxruntime", "onnxscript")
    import onnx

    program = torch.onnx.export(
        encoder,
        (_example_input(card),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {CARD: as_json(card.as_dict(), None)})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _run(content: bytes, suffix: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute features with the content of an exported file."""
    if suffix == ".pt2":
        program = torch.export.load(io.BytesIO(content))
        with torch.no_grad():
            features: NDArray[np.float32] = program.module()(torch.from_numpy(images)).numpy()
        return features
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
    return result


def quantise(
    encoder: IdentityEncoder,
    card: EncoderCard,
    images: Sequence[Image],
    target: Path,
    opset: int = MIN_OPSET,
) -> None:
    """Export an encoder to ONNX in int8, with activation ranges calibrated on crops.

    Args:
        encoder: Encoder to export.
        card: Architecture and input size of the encoder.
        images: Calibration crops, at least 16, similar to those of later use.
        target: ``.onnx`` file to write.
        opset: ONNX opset, ``MIN_OPSET`` to ``MAX_OPSET``.

    Raises:
        UserError: If there are too few crops, they do not decode, or :func:`export_encoder` fails.
    """
    if len(images) < MIN_CALIBRATION_CROPS:
        raise UserError(
            f"int8 calibration needs at least {MIN_CALIBRATION_CROPS} crops, got {len(images)}; "
            "give more"
        )
    with TemporaryDirectory() as folder:
        float_model, prepared, quantised = (
            Path(folder) / f"{name}.onnx" for name in ("float", "prepared", "int8")
        )
        export_encoder(encoder, card, float_model, opset)
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        quant_pre_process(str(float_model), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            _CalibrationBatches(images, card),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        write_bytes(target, quantised.read_bytes())


class _CalibrationBatches:
    """Calibration data reader of onnxruntime that yields batches of crops."""

    def __init__(self, images: Sequence[Image], card: EncoderCard) -> None:
        loader = ImageLoader(images, card.height, card.width, 2)
        self._batches: Iterator[NDArray[np.float32]] = (
            to_images(batch.pixels).contiguous().numpy() for batch in loader.complete_batches()
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}

    def __iter__(self) -> _CalibrationBatches:
        return self

    def __next__(self) -> dict[str, NDArray[np.float32]]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch

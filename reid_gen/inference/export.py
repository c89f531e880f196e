"""Export of a trained encoder to ONNX (needs neither torch nor reid-gen to run) or torch.export."""

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

EXPORT_SUFFIXES = (".onnx", ".pt2")
MIN_OPSET, MAX_OPSET = 18, 23
"""Supported ONNX opsets: torch writes none below, ONNX Runtime may not read those above."""
INPUT_NAME, OUTPUT_NAME = "images", "feature"
TOLERANCE = 1e-4
"""Largest allowed absolute difference between exported and torch features."""
CARD_KEY = "reid_gen"
"""Key of the metadata entry that holds the encoder card as JSON."""
MIN_CALIBRATION_CROPS = 16
"""Minimum number of crops for int8 calibration."""


def export_encoder(
    encoder: IdentityEncoder, card: EncoderCard, target: Path, opset: int = MIN_OPSET
) -> float:
    """Export an encoder and check its features against torch.

    The exported model maps RGB images in 0..1, [B, 3, H, W] with dynamic B, to L2-normalised
    features [B, D].

    Args:
        encoder: Encoder to export; moved to the CPU and converted to float32 in place.
        card: Architecture and input size of the encoder.
        target: File to write: ``.onnx``, or ``.pt2`` for torch.export, which reid-gen itself
            does not load.
        opset: ONNX opset, ``MIN_OPSET`` to ``MAX_OPSET``.

    Returns:
        Largest absolute difference between exported and torch features of random images.

    Raises:
        UserError: If the file extension is unknown, a package is missing, the file cannot be
            written, or the exported features differ from torch. No file is written then.
    """
    if target.suffix not in EXPORT_SUFFIXES:
        raise UserError(f"{target} must end in {' or '.join(EXPORT_SUFFIXES)}")
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
    actual = _compute_features(content, target.suffix, images.numpy())
    difference = float(np.abs(actual - expected).max())
    if not difference <= TOLERANCE:  # false for NaN, too
        raise UserError(
            f"the exported encoder differs from torch by {difference:.1e}, and at most "
            f"{TOLERANCE:.0e} is allowed; nothing was written. "
            f"Try {' or '.join(set(EXPORT_SUFFIXES) - {target.suffix})}"
        )
    write_bytes(target, content)
    return difference


def _example_input(card: EncoderCard) -> torch.Tensor:
    return torch.zeros(2, 3, card.height, card.width)


def _to_pt2(encoder: IdentityEncoder, card: EncoderCard) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(encoder, (_example_input(card),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(
        program, buffer, extra_files={f"{CARD_KEY}.json": as_json(card.as_dict(), None)}
    )
    return buffer.getvalue()


def _to_onnx(encoder: IdentityEncoder, card: EncoderCard, opset: int) -> bytes:
    need("ONNX", "onnx", "onnxruntime", "onnxscript")
    import onnx

    program = torch.onnx.export(
        encoder,
        (_example_input(card),),
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        opset_version=opset,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {CARD_KEY: as_json(card.as_dict(), None)})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _compute_features(
    content: bytes, suffix: str, images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run the exported encoder, given as the bytes of its file, on images [B, 3, H, W]."""
    if suffix == ".pt2":
        program = torch.export.load(io.BytesIO(content))
        with torch.no_grad():
            features: NDArray[np.float32] = program.module()(torch.from_numpy(images)).numpy()
        return features
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run([OUTPUT_NAME], {INPUT_NAME: images})
    return outputs[0]


def export_int8(
    encoder: IdentityEncoder,
    card: EncoderCard,
    images: Sequence[Image],
    target: Path,
    opset: int = MIN_OPSET,
) -> None:
    """Export an encoder to ONNX in int8 by static post-training quantisation.

    Args:
        encoder: Encoder to export.
        card: Architecture and input size of the encoder.
        images: Crops to calibrate the activation ranges on, at least 16, similar to those that
            will be encoded.
        target: ``.onnx`` file to write.
        opset: ONNX opset, ``MIN_OPSET`` to ``MAX_OPSET``.

    Raises:
        UserError: If there are too few crops, one does not decode, or :func:`export_encoder` fails.
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
    """Batches of calibration crops in the form that onnxruntime reads (CalibrationDataReader)."""

    def __init__(self, images: Sequence[Image], card: EncoderCard) -> None:
        loader = ImageLoader(images, card.height, card.width, 2)
        self._batches: Iterator[NDArray[np.float32]] = (
            to_images(batch.pixels).contiguous().numpy() for batch in loader.complete_batches()
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}

    def __iter__(self) -> _CalibrationBatches:
        return self

    def __next__(self) -> dict[str, NDArray[np.float32]]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch

"""The encoder as a file that needs neither this program nor torch."""

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
OLDEST, NEWEST = 18, 23
"""Opsets of ONNX: torch writes none before, and later ones need a newer ONNX Runtime."""
INPUT, OUTPUT = "images", "feature"
AGREEMENT = 1e-4
"""How far any value of an exported feature may be from torch's."""
CARD = "reid_gen"
"""Name of the metadata that hold input size and architecture."""
FEWEST = 16
"""Crops that int8 is calibrated with."""


def export_encoder(
    encoder: IdentityEncoder, card: EncoderCard, target: Path, opset: int = OLDEST
) -> float:
    """Write an encoder: RGB images in 0..1, [B, 3, H, W] of any B, to unit features [B, D].

    Args:
        encoder: In float32.
        card: Its architecture and input size.
        target: ``.onnx``, or ``.pt2`` for torch.export, which this program does not read again.
        opset: Of ``.onnx``, ``OLDEST`` to ``NEWEST``.

    Returns:
        The largest difference from torch on random images.

    Raises:
        UserError: If the ending is another, a package is missing, the file cannot be written, or
            what it computes differs from torch; it is then not kept.
    """
    if target.suffix not in FORMATS:
        raise UserError(f"{target} must end in {' or '.join(FORMATS)}")
    encoder = encoder.eval().float().cpu()
    content = _onnx(encoder, card, opset) if target.suffix == ".onnx" else _exported(encoder, card)
    torch.manual_seed(0)
    images = torch.rand(3, 3, card.height, card.width)
    with torch.no_grad():
        wanted = encoder(images).numpy()
    if not np.isfinite(wanted).all():
        raise UserError(
            "the encoder gives features that are not finite (NaN or infinite); nothing was "
            "written. Give another run"
        )
    found = _run(content, target.suffix, images.numpy())
    difference = float(np.abs(found - wanted).max())
    if not difference <= AGREEMENT:  # NaN is no agreement
        raise UserError(
            f"the exported encoder differs from torch by {difference:.1e}, and {AGREEMENT:.0e} is "
            f"allowed; nothing was written. Try {' or '.join(set(FORMATS) - {target.suffix})}"
        )
    write_bytes(target, content)
    return difference


def _example(card: EncoderCard) -> torch.Tensor:
    return torch.zeros(2, 3, card.height, card.width)


def _exported(encoder: IdentityEncoder, card: EncoderCard) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(encoder, (_example(card),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{CARD}.json": as_json(card.as_dict(), None)})
    return buffer.getvalue()


def _onnx(encoder: IdentityEncoder, card: EncoderCard, opset: int) -> bytes:
    need("ONNX", "onnx", "onnxruntime", "onnxscript")
    import onnx

    program = torch.onnx.export(
        encoder,
        (_example(card),),
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
    """What a file's content computes."""
    if suffix == ".pt2":
        program = torch.export.load(io.BytesIO(content))
        with torch.no_grad():
            found: NDArray[np.float32] = program.module()(torch.from_numpy(images)).numpy()
        return found
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
    return result


def quantise(
    encoder: IdentityEncoder,
    card: EncoderCard,
    images: Sequence[Image],
    target: Path,
    opset: int = OLDEST,
) -> None:
    """Write an encoder as an ``.onnx`` file in int8, calibrated with crops.

    Args:
        encoder: In float32.
        card: Its architecture and input size.
        images: Crops like those that it will see; 16 at least.
        target: To write.
        opset: Of ONNX.

    Raises:
        UserError: If there are too few crops, they do not decode, or as :func:`export_encoder`.
    """
    if len(images) < FEWEST:
        raise UserError(f"int8 is calibrated with {FEWEST} crops at least, got {len(images)}")
    with TemporaryDirectory() as folder:
        whole, ready, made = (Path(folder) / f"{name}.onnx" for name in ("whole", "ready", "made"))
        export_encoder(encoder, card, whole, opset)
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(made),
            _Calibration(images, card),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        write_bytes(target, made.read_bytes())


class _Calibration:
    """Gives crops one batch after the other, as onnxruntime asks for them."""

    def __init__(self, images: Sequence[Image], card: EncoderCard) -> None:
        loader = ImageLoader(images, card.height, card.width, 2)
        self._batches: Iterator[NDArray[np.float32]] = (
            to_images(batch.pixels).contiguous().numpy() for batch in loader.complete_batches()
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}

    def __iter__(self) -> _Calibration:
        return self

    def __next__(self) -> dict[str, NDArray[np.float32]]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found

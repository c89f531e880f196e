"""``reid-gen export``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import FORCE, IMAGES, JSON, MODEL_PATH
from reid_gen.cli.results import Results

EXPORTED_FILE = Output(suffixes=(".onnx", ".pt2"))


@click.command(cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.option(
    "--out", type=EXPORTED_FILE, required=True, help="FILE.onnx, or FILE.pt2 for torch.export."
)
@click.option(
    "--int8",
    type=IMAGES,
    multiple=True,
    help="Crops for the calibration of int8 quantisation: folder, file, glob or @list.txt; may be "
    "repeated.",
)
@click.option(
    "--opset",
    type=click.IntRange(18, 23),
    show_default="18",
    help="ONNX opset version, which the runtime must support.",
)
@JSON
@FORCE
def export(
    run: Path, out: Path, int8: tuple[str, ...], opset: int | None, output: Path | None
) -> None:
    """Export the encoder of RUN to ONNX or torch.export.

    Inputs are RGB images in 0..1, [B, 3, H, W] with any B; outputs are L2-normalised features
    [B, D]. The exported model is compared with PyTorch before it is written. Other commands accept
    .onnx files as models, but not .pt2 files, whose pickles could run arbitrary code.

    Example: reid-gen export runs/baseline_market_small --out encoder.onnx
    """
    from reid_gen.data.find_images import find_images

    results = Results(output)
    if int8 and out.suffix != ".onnx":
        raise click.UsageError("--int8 writes .onnx; give --out FILE.onnx")
    if opset is not None and out.suffix != ".onnx":
        raise click.UsageError(
            f"--opset {opset} has no effect on .pt2; give --out FILE.onnx, or leave it out"
        )
    crops = find_images(int8)

    from reid_gen.inference.export import MIN_OPSET, export_encoder, export_int8
    from reid_gen.models.checkpoint import load_encoder

    opset = MIN_OPSET if opset is None else opset
    encoder, card = load_encoder(run)
    difference = None
    if crops:
        export_int8(encoder, card, crops, out, opset)
        results.echo(f"wrote {out} in int8")
    else:
        difference = export_encoder(encoder, card, out, opset)
        results.echo(f"wrote {out}: differs from PyTorch by at most {difference:.1e}")
    results.write_json({"file": str(out), "int8": bool(int8), "difference": difference})

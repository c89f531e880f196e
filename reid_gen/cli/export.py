"""``reid-gen export``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, Output
from reid_gen.cli.options import FORCE, IMAGES, JSON, MODEL_PATH
from reid_gen.cli.results import Results

EXPORTED = Output(endings=(".onnx", ".pt2"))


@click.command(cls=Command)
@click.argument("run", type=MODEL_PATH)
@click.option("--out", type=EXPORTED, required=True, help="FILE.onnx, or .pt2 for torch.export.")
@click.option("--int8", type=IMAGES, multiple=True, help="Crops to calibrate int8 with.")
@click.option(
    "--opset",
    type=click.IntRange(18, 23),
    show_default="18",
    help="Of .onnx; what runs the file must know it.",
)
@JSON
@FORCE
def export(
    run: Path, out: Path, int8: tuple[str, ...], opset: int | None, output: Path | None
) -> None:
    """Write the encoder of RUN as a file that other programs run.

    It takes RGB images in 0..1, [B, 3, H, W] of any B, and gives unit features [B, D]; what it
    computes is compared with torch before it is kept. Other commands take .onnx as a model, and
    never .pt2, whose pickles could run any code.

    Example: reid-gen export runs/baseline_market_small --out encoder.onnx
    """
    from reid_gen.data.find_images import find_images

    results = Results(output)
    if int8 and out.suffix != ".onnx":
        raise click.UsageError("--int8 writes .onnx; give --out FILE.onnx")
    if opset is not None and out.suffix != ".onnx":
        raise click.UsageError(
            f"--opset {opset} is of .onnx; give --out FILE.onnx, or leave it out"
        )
    crops = find_images(int8)

    from reid_gen.inference.export import OLDEST, export_encoder, quantise
    from reid_gen.models.checkpoint import load_encoder

    opset = OLDEST if opset is None else opset
    encoder, card = load_encoder(run)
    difference = None
    if crops:
        quantise(encoder, card, crops, out, opset)
        results.say(f"wrote {out} in int8")
    else:
        difference = export_encoder(encoder, card, out, opset)
        results.say(f"wrote {out}: differs from torch by {difference:.1e} at most")
    results.write({"file": str(out), "int8": bool(int8), "difference": difference})

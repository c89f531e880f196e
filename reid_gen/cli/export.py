"""``reid-gen export``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.options import FORCE, JSON, PATH
from reid_gen.cli.results import Results


@click.command()
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, help="FILE.onnx, or FILE.pt2 for torch.export.")
@click.option("--int8", multiple=True, metavar="IMAGES", help="Crops to calibrate int8 with.")
@JSON
@FORCE
def export(run: Path, out: Path, int8: tuple[str, ...], output: Path | None, force: bool) -> None:
    """Write the encoder of RUN as a file that other programs run.

    It takes RGB images in 0..1, [B, 3, H, W] of any B, and gives unit features [B, D]; what it
    computes is compared with torch before it is kept.

    Example: reid-gen export runs/baseline_market_small --out encoder.onnx
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.engine.checkpoint import load_encoder
    from reid_gen.engine.export import export_encoder, quantise
    from reid_gen.errors import UserError
    from reid_gen.files import refuse_existing

    results = Results(output, force)
    refuse_existing(out, force)
    if int8 and out.suffix != ".onnx":
        raise UserError("--int8 writes .onnx; give --out FILE.onnx")
    encoder, card = load_encoder(run)
    difference = None
    if int8:
        quantise(encoder, card, find_images(int8), out)
        results.say(f"wrote {out} in int8")
    else:
        difference = export_encoder(encoder, card, out)
        results.say(f"wrote {out}: differs from torch by {difference:.1e} at most")
    results.write({"file": str(out), "int8": bool(int8), "difference": difference})

"""``reid-gen search``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.options import FORCE, JSON, MODEL, PATH, chosen_model
from reid_gen.cli.results import Results

SHEET = Path("ranks.png")
"""Where ranked lists are drawn if no file is named."""
SHOWN = 50
"""Queries that are then drawn."""


@click.command()
@click.option("--query", multiple=True, required=True, help="Images: folder, file, glob, @list.")
@click.option("--gallery", multiple=True, required=True, help="Images to search, likewise.")
@MODEL
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Per query.")
@click.option("--rerank", is_flag=True, help="By k-reciprocal re-ranking.")
@click.option("--sheet", type=PATH, help=f"Draw all ranked lists here; else some into {SHEET}.")
@JSON
@FORCE
def search(
    query: tuple[str, ...],
    gallery: tuple[str, ...],
    model: Path | None,
    top: int,
    rerank: bool,
    sheet: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Find the people of the query images among those of the gallery.

    Prints the ranked lists and draws them. File names like Market-1501's (0001_c1...) say who is
    shown: frames are then green or red. Without that they are blue.

    Example: reid-gen search --query a.jpg --gallery crops/ --model runs/market --sheet ranks.png
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.data.images import save_picture
    from reid_gen.engine.progress import Terminal
    from reid_gen.engine.search import Gallery
    from reid_gen.files import refuse_existing
    from reid_gen.report.found import found_sheet

    results = Results(output, force)
    refuse_existing(sheet, force)
    found = Gallery(chosen_model(model), find_images(gallery), Terminal()).search(
        find_images(query), top, reranked=rerank
    )
    for ranked in found:
        results.say(f"{ranked.query.path}")
        for number, (image, distance) in enumerate(ranked.matches, 1):
            results.say(f"  {number:>3}  {distance:.4f}  {image.path}")
    results.write(
        [
            {
                "query": str(ranked.query.path),
                "matches": [{"path": str(i.path), "distance": d} for i, d in ranked.matches],
            }
            for ranked in found
        ]
    )
    if sheet is None and SHEET.exists() and not force:
        click.echo(f"note: {SHEET} exists and stays as it is; give --sheet or --force", err=True)
        return
    drawn = found[:SHOWN] if sheet is None else found
    save_picture(found_sheet(drawn), sheet or SHEET)
    results.say(f"drew {len(drawn)} of {len(found)} queries: {sheet or SHEET}")

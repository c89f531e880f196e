"""``reid-gen search``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, check_output
from reid_gen.cli.options import (
    COUNT_RANGE,
    FORCE,
    IMAGES,
    JSON,
    KEEP_SAME_IMAGE,
    MODEL,
    PICTURE,
    chosen_model,
    note_same_images,
)
from reid_gen.cli.results import Results

SHEET = Path("ranks.png")
"""Where ranked lists are drawn if no file is named."""
SHOWN = 50
"""Queries that are then drawn."""


@click.command(cls=Command)
@click.option(
    "--query", type=IMAGES, multiple=True, required=True, help="Folder, file, glob, @list."
)
@click.option(
    "--gallery", type=IMAGES, multiple=True, required=True, help="Where to search, likewise."
)
@MODEL
@click.option("--top", type=COUNT_RANGE, default=10, show_default=True, help="Per query.")
@click.option("--rerank", is_flag=True, help="By k-reciprocal re-ranking.")
@click.option("--sheet", type=PICTURE, help=f"Draw all ranked lists here; else some into {SHEET}.")
@KEEP_SAME_IMAGE
@JSON
@FORCE
def search(
    query: tuple[str, ...],
    gallery: tuple[str, ...],
    model: Path | None,
    top: int,
    rerank: bool,
    sheet: Path | None,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Find the people of the query images among those of the gallery.

    Prints the ranked lists and draws them. File names like Market-1501's (0001_c1...) say who is
    shown: frames are then green or red. Without that they are blue.

    Example: reid-gen search --query a.jpg --gallery crops/ --model runs/market --sheet ranks.png
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.runtime.progress import Terminal

    results = Results(output)
    if sheet is None:
        check_output(PICTURE, "--sheet", SHEET)
    images, asked = find_images(gallery), find_images(query)

    from reid_gen.inference.search import Gallery
    from reid_gen.report.ranked_lists import found_sheet

    found = Gallery(chosen_model(model), images, Terminal()).search(
        asked, top, reranked=rerank, keep_same_image=keep_same_image
    )
    note_same_images(sum(len(ranked.same) for ranked in found))
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
    drawn = found[:SHOWN] if sheet is None else found
    what = f"ranked lists of {len(drawn)} of {len(found)} queries"
    results.draw(found_sheet(drawn), sheet or SHEET, what)

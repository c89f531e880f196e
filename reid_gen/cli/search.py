"""``reid-gen search``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Command, check_output
from reid_gen.cli.options import (
    COUNT_RANGE,
    FORCE,
    IMAGE_FILE,
    IMAGES,
    JSON,
    KEEP_SAME_IMAGE,
    MODEL,
    model_or_default,
    note_same_images,
)
from reid_gen.cli.results import Results

DEFAULT_SHEET = Path("ranks.png")
DEFAULT_SHEET_QUERIES = 50
"""Most queries on the sheet if --sheet is not given."""


@click.command(cls=Command)
@click.option(
    "--query",
    type=IMAGES,
    multiple=True,
    required=True,
    help="Query images: folder, file, glob or @list.txt; may be repeated.",
)
@click.option(
    "--gallery",
    type=IMAGES,
    multiple=True,
    required=True,
    help="Gallery images: folder, file, glob or @list.txt; may be repeated.",
)
@MODEL
@click.option("--top", type=COUNT_RANGE, default=10, show_default=True, help="Matches per query.")
@click.option("--rerank", is_flag=True, help="Rank with k-reciprocal re-ranking.")
@click.option(
    "--sheet",
    type=IMAGE_FILE,
    help="Image of the ranked lists, .png or .jpg "
    f"(default: {DEFAULT_SHEET}, with at most {DEFAULT_SHEET_QUERIES} queries).",
)
@KEEP_SAME_IMAGE
@JSON
@FORCE
def search(
    *,
    query: tuple[str, ...],
    gallery: tuple[str, ...],
    model: Path | None,
    top: int,
    rerank: bool,
    sheet: Path | None,
    keep_same_image: bool,
    output: Path | None,
) -> None:
    """Search a gallery for the people of query images.

    Prints the ranked lists and writes them as an image. If file names hold the person's id, as in
    Market-1501 (0001_c1...), correct matches have a green frame and wrong ones a red frame;
    otherwise frames are blue.

    Example: reid-gen search --query a.jpg --gallery crops/ --model runs/market --sheet ranks.png
    """
    from reid_gen.data.find_images import find_images
    from reid_gen.runtime.progress import Terminal

    results = Results(output)
    if sheet is None:
        check_output(IMAGE_FILE, "--sheet", DEFAULT_SHEET)
    gallery_images, query_images = find_images(gallery), find_images(query)

    from reid_gen.inference.search import Gallery
    from reid_gen.report.ranked_lists import search_sheet

    ranked_lists = Gallery(model_or_default(model), gallery_images, Terminal()).search(
        query_images, top, rerank=rerank, keep_same_image=keep_same_image
    )
    note_same_images(sum(len(ranked.same_images) for ranked in ranked_lists))
    for ranked in ranked_lists:
        results.echo(f"{ranked.query.path}")
        for rank, (image, distance) in enumerate(ranked.matches, 1):
            results.echo(f"  {rank:>3}  {distance:.4f}  {image.path}")
    results.write_json(
        [
            {
                "query": str(ranked.query.path),
                "matches": [{"path": str(i.path), "distance": d} for i, d in ranked.matches],
            }
            for ranked in ranked_lists
        ]
    )
    shown = ranked_lists[:DEFAULT_SHEET_QUERIES] if sheet is None else ranked_lists
    content = f"ranked lists of {len(shown)} of {len(ranked_lists)} queries"
    results.write_image(search_sheet(shown), sheet or DEFAULT_SHEET, content)

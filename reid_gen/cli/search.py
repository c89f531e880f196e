"""``reid-gen search``."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--query", multiple=True, required=True, help="Images: folder, file, glob, @list.")
@click.option("--gallery", multiple=True, required=True, help="Images to search, likewise.")
@click.option("--model", type=PATH, required=True, help="Run folder or exported encoder.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Per query.")
@click.option("--rerank", is_flag=True, help="By k-reciprocal re-ranking.")
@click.option("--sheet", type=PATH, help="Draw the ranked lists into a .png or .jpg.")
@click.option("--json", "output", type=PATH, help="Write the ranked lists here.")
@click.option("--force", is_flag=True, help="Overwrite the files given with --sheet and --json.")
def search(
    query: tuple[str, ...],
    gallery: tuple[str, ...],
    model: Path,
    top: int,
    rerank: bool,
    sheet: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Find the people of the query images among those of the gallery.

    File names like Market-1501's (0001_c1...) say who is shown: frames on the sheet are then green
    or red. Without that they are blue.

    Example: reid-gen search --query a.jpg --gallery crops/ --model runs/market --sheet ranks.png
    """
    from reid_gen.data.images import save_picture
    from reid_gen.engine.extract import find_images
    from reid_gen.engine.progress import Terminal
    from reid_gen.engine.search import Gallery
    from reid_gen.files import refuse_existing, write_json
    from reid_gen.report.found import found_sheet

    for made in (sheet, output):
        refuse_existing(made, force)
    found = Gallery(model, find_images(gallery), Terminal()).search(
        find_images(query), top, reranked=rerank
    )
    for ranked in found:
        click.echo(f"{ranked.query.path}")
        for number, (image, distance) in enumerate(ranked.matches, 1):
            click.echo(f"  {number:>3}  {distance:.4f}  {image.path}")
    if output is not None:
        lists = [
            {
                "query": str(ranked.query.path),
                "matches": [{"path": str(i.path), "distance": d} for i, d in ranked.matches],
            }
            for ranked in found
        ]
        write_json(output, lists)
    if sheet is not None:
        save_picture(found_sheet(found), sheet)

"""Text tables for terminals, with aligned columns and at most 80 characters per line."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

WIDTH = 80


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table: the first column left-aligned, the others right-aligned.

    Args:
        heads: Column heads.
        rows: Rows with a cell per column; cells that are too wide wrap onto the next line.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    console = Console(
        file=text, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

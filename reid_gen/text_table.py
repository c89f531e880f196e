"""Tables for a terminal: columns that stand below each other, 80 letters wide at most."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

WIDTH = 80


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells as text: the first column to the left, the others to the right.

    Args:
        heads: Above the columns.
        rows: Each with a cell for every column; what is too wide goes on in the line below.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    console = Console(
        file=text, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

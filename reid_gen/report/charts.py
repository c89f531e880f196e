"""Charts of a run, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from reid_gen.types import Float32Array, Int64Array

_COLOURS = "tab20"


def curves(panels: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> str:
    """A panel of curves each: title to name to (epoch, value) pairs.

    Returns:
        SVG.
    """
    figure, axes = _panels(len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
        for name, points in lines.items():
            epochs, values = zip(*points, strict=True)
            axis.plot(epochs, values, "o-", markersize=3, linewidth=1.2, label=name)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch", fontsize=8)
        axis.grid(True, alpha=0.3)
        if len(lines) > 1:
            axis.legend(fontsize=7)
    return _svg(figure)


def maps(places: Float32Array, colourings: Mapping[str, Int64Array]) -> str:
    """The same points [N, 2] in several colourings [N]; -1 is grey.

    Returns:
        SVG.
    """
    figure, axes = _panels(len(colourings), wide=5.0)
    for axis, (title, numbers) in zip(axes, colourings.items(), strict=False):
        grey = numbers < 0
        axis.scatter(*places[grey].T, s=3, c="0.8", linewidths=0)
        axis.scatter(*places[~grey].T, s=4, c=numbers[~grey] % 20, cmap=_COLOURS, linewidths=0)
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    return _svg(figure)


def matrix(values: Float32Array, names: Sequence[str], rows: str, columns: str) -> str:
    """Shares in percent, [n, n]; NaN is left empty.

    Returns:
        SVG.
    """
    figure, (axis, *_) = _panels(1, wide=1.2 + 0.45 * len(names))
    axis.imshow(values, cmap="viridis", vmin=0, vmax=1)
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        colour = "black" if value > 0.6 else "white"
        axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", c=colour, fontsize=7)
    axis.set_xticks(range(len(names)), names, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel(columns, fontsize=8)
    axis.set_ylabel(rows, fontsize=8)
    return _svg(figure)


def _panels(count: int, wide: float = 4.0):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(wide * columns, 0.75 * wide * rows), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes


def _svg(figure) -> str:  # type: ignore[no-untyped-def]
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :]

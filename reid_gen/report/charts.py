"""Charts of a report as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from reid_gen.types import Float32Array, Int64Array

_COLOURS = "tab20"


def plot_curves(panels: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> str:
    """Plot one panel of curves over epochs per title.

    Args:
        panels: Title of each panel -> name of each curve -> (epoch, value) pairs.

    Returns:
        SVG text.
    """
    figure, axes = _make_panels(len(panels))
    for axis, (title, curves) in zip(axes, panels.items(), strict=False):
        for name, points in curves.items():
            epochs, values = zip(*points, strict=True)
            axis.plot(epochs, values, "o-", markersize=3, linewidth=1.2, label=name)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch", fontsize=8)
        axis.grid(True, alpha=0.3)
        if len(curves) > 1:
            axis.legend(fontsize=7)
    return _to_svg(figure)


def plot_scatter(points: Float32Array, colourings: Mapping[str, Int64Array]) -> str:
    """Plot the same points in one panel per colouring.

    Args:
        points: Coordinates, [N, 2].
        colourings: Title of each panel -> class of each point, [N]; points of class -1 are grey.

    Returns:
        SVG text.
    """
    figure, axes = _make_panels(len(colourings), width=5.0)
    for axis, (title, classes) in zip(axes, colourings.items(), strict=False):
        unlabelled = classes < 0
        axis.scatter(*points[unlabelled].T, s=3, c="0.8", linewidths=0)
        axis.scatter(
            *points[~unlabelled].T, s=4, c=classes[~unlabelled] % 20, cmap=_COLOURS, linewidths=0
        )
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    return _to_svg(figure)


def plot_matrix(values: Float32Array, names: Sequence[str], rows: str, columns: str) -> str:
    """Plot a matrix of shares in percent.

    Args:
        values: Shares in 0..1, [n, n]; NaN cells stay empty.
        names: Names of rows and columns, n of them.
        rows: Label of the vertical axis.
        columns: Label of the horizontal axis.

    Returns:
        SVG text.
    """
    figure, (axis, *_) = _make_panels(1, width=1.2 + 0.45 * len(names))
    axis.imshow(values, cmap="viridis", vmin=0, vmax=1)
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        colour = "black" if value > 0.6 else "white"
        axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", c=colour, fontsize=7)
    axis.set_xticks(range(len(names)), names, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel(columns, fontsize=8)
    axis.set_ylabel(rows, fontsize=8)
    return _to_svg(figure)


def _make_panels(count: int, width: float = 4.0):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, 0.75 * width * rows), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes


def _to_svg(figure) -> str:  # type: ignore[no-untyped-def]
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]

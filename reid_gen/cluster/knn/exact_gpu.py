"""Exact nearest neighbours on an accelerator: float32 products, sifted, then float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reid_gen.types import Float32Array, Float64Array, Int64Array

_AT_ONCE = 2**28
"""Products in memory: a gigabyte."""
_EXACT = 256
"""Rows whose candidates are computed again at once."""
_READ = 65536
SPARE = 32
"""Candidates beyond those that are wanted."""


def nearest_on(
    device: torch.device, features: Float32Array, count: int, spare: int = SPARE
) -> tuple[Int64Array, Float64Array]:
    """The ``count`` most similar rows of every row, itself among them, as if all were float64.

    A float32 product of unit rows is wrong by ``D * 2^-24`` at most. Where the last candidate comes
    within that of the count-th, the row is compared with everything once more.

    Args:
        device: Holds all features, and two gigabytes beside them.
        features: Unit rows, [N, D].
        count: At most N.
        spare: Candidates beyond those.

    Returns:
        Numbers [N, count] int64 by falling cosine, equal ones by rising number, and cosines
        [N, count] float64.
    """
    size, width = features.shape
    everything = torch.empty(size, width, device=device)
    for start in range(0, size, _READ):
        part = slice(start, start + _READ)
        everything[part] = torch.from_numpy(np.array(features[part], np.float32))
    rows_at_once = max(1, min(4096, _AT_ONCE // size))
    wanted = min(size, count + spare)
    error = width * 2.0**-24
    index = np.empty((size, count), np.int64)
    cosine = np.empty((size, count), np.float64)
    for start in range(0, size, rows_at_once):
        own = everything[start : start + rows_at_once]
        products, places = torch.topk(own @ everything.T, wanted, dim=1)
        # By number first, so that equal values keep that order.
        places = places.sort(dim=1).values
        best, values = _ordered(own, everything, places, count)
        sure = products[:, -1].double() + 2 * error < values[:, -1]
        if wanted < size and not bool(sure.all()):
            left = torch.nonzero(~sure).flatten()
            best[left], values[left] = _among_all(own[left], everything, count)
        rows = slice(start, start + len(own))
        index[rows], cosine[rows] = best.cpu().numpy(), values.cpu().numpy()
    return index, cosine


def _ordered(own: Tensor, everything: Tensor, places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best of candidates [b, c] by float64 products."""
    exact = torch.cat(
        [
            torch.einsum("bd,bcd->bc", some.double(), everything[at].double())
            for some, at in zip(torch.split(own, _EXACT), torch.split(places, _EXACT), strict=True)
        ]
    )
    values, order = torch.sort(exact, dim=1, descending=True, stable=True)
    return places.gather(1, order)[:, :count], values[:, :count]


def _among_all(own: Tensor, everything: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same without candidates."""
    found = []
    for some in torch.split(own, max(1, min(_EXACT, _AT_ONCE // (8 * len(everything))))):
        parts = torch.split(everything, _READ)
        exact = torch.cat([some.double() @ part.T.double() for part in parts], dim=1)
        values, order = torch.sort(exact, dim=1, descending=True, stable=True)
        found.append((order[:, :count], values[:, :count]))
    best, cosines = zip(*found, strict=True)
    return torch.cat(best), torch.cat(cosines)

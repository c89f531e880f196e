"""Momentum updates of memory rows in the order of the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.runtime.transfer import to_device
from reid_gen.types import Int64Array


@torch.no_grad()
def blend_in_order(memory: Tensor, rows: Int64Array, features: Tensor, momentum: float) -> None:
    """``M_r <- norm(momentum M_r + (1 - momentum) f)`` for each (r, f), one after the other.

    Rows are independent of each other, so the first occurrences of all rows are done at once, then
    the second ones, and so on: the result of the sequential rule without a loop over images. The
    rows are in host memory, so that the host need not wait for the device to plan this.

    Args:
        memory: Unit features, [N, D]; updated in place.
        rows: Memory row of each feature, [B]; may repeat.
        features: Unit features, [B, D].
        momentum: Share of the old value that is kept, in [0, 1).
    """
    if not len(rows):
        return
    order, lengths = _rounds(rows)
    positions, targets = to_device(np.stack([order, rows[order]]), memory.device)
    new = (1 - momentum) * features[positions].to(memory.dtype)
    for target, share in zip(torch.split(targets, lengths), torch.split(new, lengths), strict=True):
        memory[target] = F.normalize(momentum * memory[target] + share, dim=1)


def _rounds(rows: Int64Array) -> tuple[Int64Array, list[int]]:
    """Positions of the first occurrences of all rows, then of the second ones, and so on.

    Returns:
        Positions in ``rows``, [B], and the number of positions of each round.
    """
    by_row = np.argsort(rows, kind="stable")
    ascending = rows[by_row]
    occurrence = np.arange(len(rows)) - np.searchsorted(ascending, ascending)
    by_round = np.argsort(occurrence, kind="stable")
    return by_row[by_round], np.bincount(occurrence).tolist()

"""The momentum update that both kinds of memory share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def blend_in_order(memory: Tensor, rows: Tensor, features: Tensor, momentum: float) -> None:
    """``M_r <- norm(momentum M_r + (1 - momentum) f)`` for each (r, f), one after the other.

    Rows are independent of each other, so the first occurrence of every row is done at once, then
    the second, and so on: the result of the sequential rule without a loop over images.

    Args:
        memory: Unit rows, [N, D]; changed in place.
        rows: Row of each feature, [B] int64; repeats are allowed.
        features: Unit features, [B, D].
        momentum: Share of the old value that is kept, in [0, 1).
    """
    order = torch.argsort(rows, stable=True)
    _, counts = torch.unique_consecutive(rows[order], return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    turn = torch.arange(len(rows), device=rows.device) - starts.repeat_interleave(counts)
    for occurrence in range(int(counts.max()) if len(rows) else 0):
        now = order[turn == occurrence]
        mixed = momentum * memory[rows[now]] + (1 - momentum) * features[now].to(memory.dtype)
        memory[rows[now]] = F.normalize(mixed, dim=1)

"""The momentum update of memory features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def blend_in_order(memory: Tensor, rows: Tensor, features: Tensor, momentum: float) -> None:
    """``M_r <- norm(momentum M_r + (1 - momentum) f)`` for each (r, f), one after the other.

    Rows are independent of each other, so the first occurrences of all rows are done at once, then
    the second ones, and so on: the result of the sequential rule without a loop over images.

    Args:
        memory: Unit features, [N, D]; updated in place.
        rows: Memory row of each feature, [B] int64; may repeat.
        features: Unit features, [B, D].
        momentum: Share of the old value that is kept, in [0, 1).
    """
    order = torch.argsort(rows, stable=True)
    _, counts = torch.unique_consecutive(rows[order], return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    occurrence = torch.arange(len(rows), device=rows.device) - starts.repeat_interleave(counts)
    for number in range(int(counts.max()) if len(rows) else 0):
        batch = order[occurrence == number]
        blended = momentum * memory[rows[batch]] + (1 - momentum) * features[batch].to(memory.dtype)
        memory[rows[batch]] = F.normalize(blended, dim=1)

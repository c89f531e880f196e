"""Exact nearest neighbours: the only file that imports faiss."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from reid_gen.types import Floats, Ints

_BLOCK = 4096


@dataclass(frozen=True)
class Neighbours:
    """The k most similar images of every image, itself first.

    Attributes:
        index: [N, k] int64, by falling similarity after column 0, which is the image itself.
        similarity: Cosine similarities of the same, [N, k] float32.
    """

    index: Ints
    similarity: Floats


def nearest(features: Floats, count: int) -> Neighbours:
    """Find the exact ``count`` nearest neighbours by cosine similarity, in blocks.

    Args:
        features: Unit rows, [N, D] float32.
        count: Neighbours per image, itself included; capped at N.

    Returns:
        Neighbours, [N, min(count, N)].
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    size = len(features)
    flat = faiss.IndexFlatIP(features.shape[1])
    flat.add(features)
    found = [
        flat.search(features[start : start + _BLOCK], min(count, size))
        for start in range(0, size, _BLOCK)
    ]
    similarity = np.concatenate([block[0] for block in found])
    index = np.concatenate([block[1] for block in found]).astype(np.int64)
    _put_self_first(index, similarity)
    return Neighbours(index, similarity)


def _put_self_first(index: Ints, similarity: Floats) -> None:
    """Exact duplicates can rank before the image itself, or push it off the end."""
    rows = np.arange(len(index))
    own = index == rows[:, None]
    place = np.where(own.any(axis=1), own.argmax(axis=1), index.shape[1] - 1)
    for row in rows[place > 0]:
        stop = place[row]
        index[row, 1 : stop + 1] = index[row, :stop].copy()
        similarity[row, 1 : stop + 1] = similarity[row, :stop].copy()
        index[row, 0] = row

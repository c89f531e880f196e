"""Colours for a body's surface, taken from the picture that shows it."""

from __future__ import annotations

import numba
import numpy as np

from reid_gen.body.render.rasterise import Faces, Fragments
from reid_gen.types import Float32Array, Int64Array, Uint8Array

NEAREST = 256
"""Vertices that a hidden one may take its colour from."""
ACROSS, THROUGH = 0.05, 0.15
"""Of how far apart vertices count: metres more on the other side of the body, and the share that
front and back differ by."""


def look_alikes(template: Float32Array) -> Int64Array:
    """Which vertices probably look alike, the likeliest first.

    Clothes are mostly the same in front and behind, left and right. Source: own.

    Args:
        template: The body at rest, [V, 3]: x to its side, y up, z to its front.

    Returns:
        Vertices by rising distance in this sense, [V, min(V, NEAREST)].
    """
    middle = np.array([template[:, 0].mean(), 0, 0])
    own = (template - middle).astype(np.float32)
    weight = np.array([1, 1, THROUGH], np.float32)
    own = own * np.sqrt(weight)
    mirrored = own * np.array([-1, 1, 1], np.float32)
    count = min(len(own), NEAREST)
    found = np.empty((len(own), count), np.int64)
    for start in range(0, len(own), 512):
        some = own[start : start + 512]
        distance = np.minimum(_apart(some, own), _apart(some, mirrored) + ACROSS)
        found[start : start + 512] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return found


def _apart(one: Float32Array, other: Float32Array) -> Float32Array:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))


def paint(
    pictures: Uint8Array, fragments: Fragments, faces: Faces, alike: Int64Array
) -> Float32Array:
    """Give every vertex the colour of its pixels, and hidden ones that of a look-alike.

    Args:
        pictures: RGB of B people, [B, H, W, 3] uint8.
        fragments: What each pixel sees of their bodies, at the same size.
        faces: [F, 3].
        alike: Of :func:`look_alikes`.

    Returns:
        Colours in -1..1, [B, V, 3]. A body that is not seen at all is grey. Source: own.
    """
    colours = np.zeros((len(pictures), len(alike), 3), np.float32)
    weight = np.zeros((len(pictures), len(alike)), np.float32)
    _gather(pictures, fragments.face, fragments.barycentric, faces, colours, weight)
    _fill(colours, weight, alike)
    return colours


@numba.njit(nogil=True, cache=True)
def _gather(pictures, face, barycentric, faces, colours, weight):  # type: ignore[no-untyped-def]
    """Mean colour of the pixels around each vertex, by their barycentric weights."""
    batch, height, width = face.shape
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                seen = face[b, row, column]
                if seen < 0:
                    continue
                for corner in range(3):
                    vertex, share = faces[seen, corner], barycentric[b, row, column, corner]
                    weight[b, vertex] += share
                    for channel in range(3):
                        value = pictures[b, row, column, channel] / np.float32(127.5) - 1
                        colours[b, vertex, channel] += share * value
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > 0:
                colours[b, vertex] /= weight[b, vertex]


@numba.njit(nogil=True, cache=True)
def _fill(colours, weight, alike):  # type: ignore[no-untyped-def]
    """Colours of hidden vertices: of the first look-alike that is seen, or else of all."""
    least = np.float32(0.05)
    for b in range(len(weight)):
        count, mean = 0, np.zeros(3, np.float32)
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > least:
                count += 1
                mean += colours[b, vertex]
        if count:
            mean /= np.float32(count)
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > least:
                continue
            colours[b, vertex] = mean
            for other in alike[vertex]:
                if weight[b, other] > least:
                    colours[b, vertex] = colours[b, other]
                    break

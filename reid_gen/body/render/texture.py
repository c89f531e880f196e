"""Vertex colours of a body, sampled from the image that shows it."""

from __future__ import annotations

import numba
import numpy as np

from reid_gen.body.render.rasterise import Faces, Fragments
from reid_gen.types import Float32Array, Int64Array, Uint8Array

NUM_SIMILAR = 256
"""Number of candidate vertices from which a hidden vertex may take its colour."""
MIRROR_PENALTY = 0.05
"""Distance in metres added to vertices on the other side of the body."""
DEPTH_WEIGHT = 0.15
"""Weight of squared front-to-back distance relative to the other two axes."""


def similar_vertices(template: Float32Array) -> Int64Array:
    """Rank, for every vertex, the vertices that probably have the same colour, best first.

    Clothes mostly look alike in front and behind, and on the left and the right. Source: own.

    Args:
        template: Vertices of the template, [V, 3]: x to the side, y up, z to the front.

    Returns:
        Vertex indices by increasing distance up to these symmetries, [V, min(V, NUM_SIMILAR)].
    """
    centre = np.array([template[:, 0].mean(), 0, 0])
    weight = np.array([1, 1, DEPTH_WEIGHT], np.float32)
    points = (template - centre).astype(np.float32) * np.sqrt(weight)
    mirrored = points * np.array([-1, 1, 1], np.float32)
    num_similar = min(len(points), NUM_SIMILAR)
    ranked = np.empty((len(points), num_similar), np.int64)
    for start in range(0, len(points), 512):
        chunk = points[start : start + 512]
        distance = np.minimum(
            _pairwise_distance(chunk, points), _pairwise_distance(chunk, mirrored) + MIRROR_PENALTY
        )
        ranked[start : start + 512] = np.argsort(distance, axis=1, kind="stable")[:, :num_similar]
    return ranked


def _pairwise_distance(a: Float32Array, b: Float32Array) -> Float32Array:
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0))


def sample_vertex_colours(
    images: Uint8Array, fragments: Fragments, faces: Faces, similar: Int64Array
) -> Float32Array:
    """Give visible vertices the mean colour of their pixels, hidden ones that of a similar vertex.

    Args:
        images: RGB images of B people, [B, H, W, 3] uint8.
        fragments: Visible surface points of their bodies, at the same size.
        faces: Vertex indices of each triangle, [F, 3].
        similar: Result of :func:`similar_vertices`.

    Returns:
        Colours in -1..1, [B, V, 3]; grey for a body without any visible vertex. Source: own.
    """
    colours = np.zeros((len(images), len(similar), 3), np.float32)
    weight = np.zeros((len(images), len(similar)), np.float32)
    _average_pixels(images, fragments.face, fragments.barycentric, faces, colours, weight)
    _fill_hidden(colours, weight, similar)
    return colours


@numba.njit(nogil=True, cache=True)
def _average_pixels(  # type: ignore[no-untyped-def]
    images, face, barycentric, faces, colours, weight
):
    """Average the pixels around each vertex, weighted by their barycentric coordinates."""
    batch, height, width = face.shape
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                visible = face[b, row, column]
                if visible < 0:
                    continue
                for corner in range(3):
                    vertex, share = faces[visible, corner], barycentric[b, row, column, corner]
                    weight[b, vertex] += share
                    for channel in range(3):
                        value = images[b, row, column, channel] / np.float32(127.5) - 1
                        colours[b, vertex, channel] += share * value
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > 0:
                colours[b, vertex] /= weight[b, vertex]


@numba.njit(nogil=True, cache=True)
def _fill_hidden(colours, weight, similar):  # type: ignore[no-untyped-def]
    """Colour hidden vertices like their most similar visible vertex, else by the body's mean."""
    min_weight = np.float32(0.05)
    for b in range(len(weight)):
        count, mean = 0, np.zeros(3, np.float32)
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > min_weight:
                count += 1
                mean += colours[b, vertex]
        if count:
            mean /= np.float32(count)
        for vertex in range(weight.shape[1]):
            if weight[b, vertex] > min_weight:
                continue
            colours[b, vertex] = mean
            for other in similar[vertex]:
                if weight[b, other] > min_weight:
                    colours[b, vertex] = colours[b, other]
                    break

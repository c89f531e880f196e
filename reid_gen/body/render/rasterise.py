"""Z-buffer rasterisation: the visible face of every pixel and the position on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from reid_gen.types import Float32Array

Faces = NDArray[np.int32]


@dataclass(frozen=True)
class Fragments:
    """The visible surface point of every pixel.

    Attributes:
        face: Index of the visible face, -1 for the background, [B, H, W] int32.
        barycentric: Barycentric weights of the face's vertices, 0 in the background, [B, H, W, 3].
        depth: Depth of the surface point, inf in the background, [B, H, W].
    """

    face: NDArray[np.int32]
    barycentric: Float32Array
    depth: Float32Array


Rasteriser = Callable[[Float32Array, Faces, int, int], Fragments]
"""A function with the interface of :func:`rasterise`."""


def rasterise(screen: Float32Array, faces: Faces, height: int, width: int) -> Fragments:
    """Find the nearest face at the centre of every pixel.

    Barycentric weights are linear in screen space (affine camera). Among faces at the same depth
    the first wins. The GIL is released, so data loader threads run in parallel.

    Args:
        screen: Projected vertices, [B, V, 3]: x and y in pixels, where the centre of pixel i lies
            at i + 0.5, and depth (smaller is nearer).
        faces: Vertex indices of each triangle, [F, 3]; faces are visible from both sides.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The visible face, barycentric weights and depth of every pixel.

    Raises:
        ValueError: If shapes do not fit, a vertex is not finite, or a face index is out of range.
    """
    if screen.ndim != 3 or screen.shape[2] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"expected [B, V, 3] and [F, 3], got {screen.shape} and {faces.shape}")
    if not np.isfinite(screen).all():
        raise ValueError("vertices must be finite")
    if len(faces) and not (faces.min() >= 0 and faces.max() < screen.shape[1]):
        raise ValueError(f"faces refer to vertices outside 0..{screen.shape[1] - 1}")
    size = (len(screen), height, width)
    face = np.full(size, -1, np.int32)
    barycentric = np.zeros((*size, 3), np.float32)
    depth = np.full(size, np.inf, np.float32)
    _rasterise(
        np.ascontiguousarray(screen, np.float32),
        np.ascontiguousarray(faces, np.int32),
        face, barycentric, depth,
    )  # fmt: skip
    return Fragments(face, barycentric, depth)


def interpolate(fragments: Fragments, faces: Faces, values: Float32Array) -> Float32Array:
    """Interpolate vertex values [V, C] or [B, V, C] to pixels [B, H, W, C]; 0 in the background."""
    batch, row, column = np.nonzero(fragments.face >= 0)
    corners = faces[fragments.face[batch, row, column]]
    corner_values = values[corners] if values.ndim == 2 else values[batch[:, None], corners]
    weights = fragments.barycentric[batch, row, column]
    pixels = np.zeros((*fragments.face.shape, values.shape[-1]), np.float32)
    pixels[batch, row, column] = np.einsum("nk,nkc->nc", weights, corner_values)
    return pixels


@numba.njit(nogil=True, cache=True)
def _rasterise(
    screen: Float32Array,
    faces: Faces,
    face: NDArray[np.int32],
    barycentric: Float32Array,
    depth: Float32Array,
) -> None:
    half, one = np.float32(0.5), np.float32(1)
    _, height, width = face.shape
    for body in range(len(screen)):
        for index in range(len(faces)):
            ax, ay, az = screen[body, faces[index, 0]]
            bx, by, bz = screen[body, faces[index, 1]]
            cx, cy, cz = screen[body, faces[index, 2]]
            area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
            if abs(area) < 1e-9:
                continue
            left = max(0.0, np.ceil(min(ax, bx, cx) - half))
            right = min(width - 1.0, np.floor(max(ax, bx, cx) - half))
            top = max(0.0, np.ceil(min(ay, by, cy) - half))
            bottom = min(height - 1.0, np.floor(max(ay, by, cy) - half))
            if right < left or bottom < top:
                continue
            inverse = one / area
            bx_step, by_step = (cy - ay) * inverse, -(cx - ax) * inverse
            cx_step, cy_step = -(by - ay) * inverse, (bx - ax) * inverse
            for row in range(int(top), int(bottom) + 1):
                dy = np.float32(row) + half - ay
                for column in range(int(left), int(right) + 1):
                    dx = np.float32(column) + half - ax
                    b = bx_step * dx + by_step * dy
                    c = cx_step * dx + cy_step * dy
                    a = one - b - c
                    if a >= 0 and b >= 0 and c >= 0:
                        z = a * az + b * bz + c * cz
                        if z < depth[body, row, column]:
                            depth[body, row, column] = z
                            face[body, row, column] = index
                            barycentric[body, row, column, 0] = a
                            barycentric[body, row, column, 1] = b
                            barycentric[body, row, column, 2] = c

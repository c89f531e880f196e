"""Vertex normals of a mesh."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from reid_gen.types import Float32Array


def vertex_normals(vertices: Float32Array, faces: NDArray[np.int32]) -> Float32Array:
    """Compute unit vertex normals: area-weighted means of the normals of adjacent faces.

    Args:
        vertices: Vertices of B bodies, [B, V, 3].
        faces: Vertex indices of each triangle, counter-clockwise seen from outside, [F, 3].

    Returns:
        Unit normals, [B, V, 3] float32; 0 for a vertex without faces.
    """
    return _normals(np.ascontiguousarray(vertices, np.float32), np.asarray(faces, np.int32))


@numba.njit(nogil=True, cache=True)
def _normals(vertices: Float32Array, faces: NDArray[np.int32]) -> Float32Array:
    normals = np.zeros_like(vertices)
    for body in range(len(vertices)):
        for face in range(len(faces)):
            a, b, c = faces[face]
            p, q, r = vertices[body, a], vertices[body, b], vertices[body, c]
            ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
            vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for corner in (a, b, c):
                normals[body, corner, 0] += x
                normals[body, corner, 1] += y
                normals[body, corner, 2] += z
        for vertex in range(vertices.shape[1]):
            x, y, z = normals[body, vertex]
            length = np.sqrt(x * x + y * y + z * z)
            if length > 0:
                normals[body, vertex] /= length
    return normals

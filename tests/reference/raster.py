"""Reference rasteriser: tests every pixel against every face, in float64."""

import numpy as np


def rasterise(screen, faces, height, width):
    """Nearest face, barycentric weights and depth of one mesh: [H, W], [H, W, 3], [H, W]."""
    face = np.full((height, width), -1)
    weights = np.zeros((height, width, 3))
    depth = np.full((height, width), np.inf)
    for row in range(height):
        for column in range(width):
            for index, corners in enumerate(faces):
                (ax, ay, az), (bx, by, bz), (cx, cy, cz) = screen[corners].astype(np.float64)
                area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
                if area == 0:
                    continue
                x, y = column + 0.5, row + 0.5
                b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
                c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
                a = 1 - b - c
                z = a * az + b * bz + c * cz
                if min(a, b, c) >= 0 and z < depth[row, column]:
                    face[row, column], depth[row, column] = index, z
                    weights[row, column] = a, b, c
    return face, weights, depth


def vertex_normals(vertices, faces):
    """Unit vertex normals of one mesh: means of the adjacent face normals, weighted by area."""
    normals = np.zeros((len(vertices), 3))
    for a, b, c in faces:
        normal = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        for corner in (a, b, c):
            normals[corner] += normal
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)

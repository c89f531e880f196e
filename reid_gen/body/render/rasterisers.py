"""Alternative rasterisers: torch, which also runs on a GPU, and pytorch3d."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.render.rasterise import Faces, Fragments, Rasteriser, rasterise
from reid_gen.errors import UserError
from reid_gen.types import Float32Array


def rasterise_torch(screen: Float32Array, faces: Faces, height: int, width: int) -> Fragments:
    """Implement :func:`rasterise` with torch operations, on the GPU if there is one.

    All faces are tested against all pixels of their bounding boxes at once: memory grows with the
    total area of the boxes, about 0.1 KB per pixel.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corners = torch.from_numpy(screen).to(device)[:, torch.from_numpy(faces).to(device).long()]
    num_bodies, num_faces = corners.shape[:2]
    # `candidate` indexes the B x F faces of all bodies.
    candidate, row, column = _candidates(corners, height, width)
    weights, depth = _barycentric(corners.flatten(0, 1)[candidate], row, column)
    inside = (weights >= 0).all(1)
    candidate, weights, depth = candidate[inside], weights[inside], depth[inside]
    pixel = ((candidate // num_faces) * height + row[inside]) * width + column[inside]
    nearest = depth.new_full((num_bodies * height * width,), torch.inf)
    nearest.scatter_reduce_(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    pixel, candidate, weights = pixel[front], candidate[front], weights[front]
    # Among faces at the nearest depth the one with the smallest index wins.
    face = candidate.new_full((len(nearest),), num_faces)
    face.scatter_reduce_(0, pixel, candidate % num_faces, "amin")
    visible = candidate % num_faces == face[pixel]
    barycentric = weights.new_zeros(len(nearest), 3)
    barycentric[pixel[visible]] = weights[visible]
    face[face == num_faces] = -1
    size = (num_bodies, height, width)
    return Fragments(
        face.view(size).int().cpu().numpy(),
        barycentric.view(*size, 3).cpu().numpy(),
        nearest.view(size).cpu().numpy(),
    )


def _candidates(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """List the N pixel centres in the faces' bounding boxes: face [N], row [N], column [N]."""
    xy = corners[..., :2].flatten(0, 1)
    first = (xy.amin(1) - 0.5).ceil().clamp_min(0).long()
    last = (xy.amax(1) - 0.5).floor().long()
    last = torch.minimum(last, last.new_tensor([width - 1, height - 1]))
    box_width, box_height = (last - first + 1).clamp_min(0).unbind(1)
    area = box_width * box_height
    face = torch.repeat_interleave(torch.arange(len(area), device=area.device), area)
    offset = torch.arange(len(face), device=face.device) - (area.cumsum(0) - area)[face]
    row = first[face, 1] + offset // box_width[face]
    return face, row, first[face, 0] + offset % box_width[face]


def _barycentric(corners: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Compute barycentric weights [N, 3] and depth [N] of pixel centres in faces [N, 3, 3]."""
    a, b, c = corners.unbind(1)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ac[:, 0] * ab[:, 1]
    # An edge-on face covers no pixel: its weights become NaN, and NaN >= 0 is false.
    inverse = torch.where(area.abs() < 1e-9, torch.nan, 1 / area)
    dx, dy = column + 0.5 - a[:, 0], row + 0.5 - a[:, 1]
    weight_b = (ac[:, 1] * inverse) * dx + (-ac[:, 0] * inverse) * dy
    weight_c = (-ab[:, 1] * inverse) * dx + (ab[:, 0] * inverse) * dy
    weights = torch.stack([1 - weight_b - weight_c, weight_b, weight_c], 1)
    return weights, (weights * corners[..., 2]).sum(1)


def _import_pytorch3d() -> tuple[Any, Any]:
    """Import pytorch3d's ``rasterize_meshes`` and ``Meshes``."""
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except (ImportError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            f"the rasteriser pytorch3d cannot be loaded ({reason}); build it for this version of "
            "torch as described in docs/bodies.md, or use numba or torch"
        ) from error
    return rasterize_meshes, Meshes


def rasterise_pytorch3d(screen: Float32Array, faces: Faces, height: int, width: int) -> Fragments:
    """Implement :func:`rasterise` with pytorch3d, on the GPU if there is one.

    Raises:
        UserError: If pytorch3d is not installed.
    """
    rasterize_meshes, meshes = _import_pytorch3d()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    points = torch.from_numpy(screen).to(device)
    # pytorch3d's NDC: x points left, y points up, and the shorter image side spans -1 to 1.
    ndc = (points.new_tensor([width, height]) - 2 * points[..., :2]) / min(height, width)
    # pytorch3d drops faces with negative depth as behind the camera, so all depths are shifted.
    depth_shift = 1 - points[..., 2:].amin((1, 2), keepdim=True)
    face_vertices = torch.from_numpy(faces).to(device).long().expand(len(screen), -1, -1)
    face, depth, barycentric, _ = rasterize_meshes(
        meshes(torch.cat([ndc, points[..., 2:] + depth_shift], -1), face_vertices),
        image_size=(height, width),
        faces_per_pixel=1,
        bin_size=0,
        cull_backfaces=False,
    )
    visible = face[..., 0] >= 0
    # pytorch3d adds an epsilon to face areas, so the weights of small faces sum to less than 1.
    total = barycentric[..., 0, :].sum(-1)
    body = torch.arange(len(screen), device=device)[:, None, None]
    return Fragments(
        torch.where(visible, face[..., 0] - body * len(faces), -1).int().cpu().numpy(),
        torch.where(visible[..., None], barycentric[..., 0, :] / total[..., None], 0).cpu().numpy(),
        torch.where(visible, depth[..., 0] / total - depth_shift, np.inf).cpu().numpy(),
    )


RASTERISERS: dict[str, Rasteriser] = {
    "numba": rasterise,
    "torch": rasterise_torch,
    "pytorch3d": rasterise_pytorch3d,
}


def load_rasteriser(name: str) -> Rasteriser:
    """Return the rasteriser called ``name`` after checking that it can run here.

    Raises:
        UserError: If the name is unknown, or the rasteriser's package is not installed.
    """
    if name not in RASTERISERS:
        raise UserError(f"unknown rasteriser {name!r}; known: {', '.join(RASTERISERS)}")
    if name == "pytorch3d":
        _import_pytorch3d()
    return RASTERISERS[name]

"""The z-buffer by other means: torch, which also runs on a GPU, and pytorch3d."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid_gen.body.render.rasterise import Faces, Fragments, Rasteriser, rasterise
from reid_gen.errors import UserError
from reid_gen.types import Float32Array


def rasterise_torch(screen: Float32Array, faces: Faces, height: int, width: int) -> Fragments:
    """:func:`rasterise` by torch operations, on the GPU where there is one.

    Every face is compared with the pixels of its bounding box, all at once: memory grows with the
    sum of the boxes, about 0.1 KB per pixel of them.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corners = torch.from_numpy(screen).to(device)[:, torch.from_numpy(faces).to(device).long()]
    bodies, count = corners.shape[:2]
    pair, row, column = _candidates(corners, height, width)
    weights, depth = _weigh(corners.flatten(0, 1)[pair], row, column)
    inside = (weights >= 0).all(1)
    pair, weights, depth = pair[inside], weights[inside], depth[inside]
    pixel = ((pair // count) * height + row[inside]) * width + column[inside]
    nearest = depth.new_full((bodies * height * width,), torch.inf)
    nearest.scatter_reduce_(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    pixel, pair, weights = pixel[front], pair[front], weights[front]
    face = pair.new_full((len(nearest),), count)
    face.scatter_reduce_(0, pixel, pair % count, "amin")
    wins = pair % count == face[pixel]
    barycentric = weights.new_zeros(len(nearest), 3)
    barycentric[pixel[wins]] = weights[wins]
    face[face == count] = -1
    size = (bodies, height, width)
    return Fragments(
        face.view(size).int().cpu().numpy(),
        barycentric.view(*size, 3).cpu().numpy(),
        nearest.view(size).cpu().numpy(),
    )


def _candidates(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every pixel centre in the bounding box of each face: face [N], row [N], column [N]."""
    flat = corners[..., :2].flatten(0, 1)
    first = (flat.amin(1) - 0.5).ceil().clamp_min(0).long()
    last = (flat.amax(1) - 0.5).floor().long()
    last = torch.minimum(last, last.new_tensor([width - 1, height - 1]))
    wide, high = (last - first + 1).clamp_min(0).unbind(1)
    boxes = wide * high
    pair = torch.repeat_interleave(torch.arange(len(boxes), device=boxes.device), boxes)
    place = torch.arange(len(pair), device=pair.device) - (boxes.cumsum(0) - boxes)[pair]
    return pair, first[pair, 1] + place // wide[pair], first[pair, 0] + place % wide[pair]


def _weigh(corners: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric weights [N, 3] of pixel centres in faces [N, 3, 3], and their depth [N]."""
    a, b, c = corners.unbind(1)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ac[:, 0] * ab[:, 1]
    # A face seen from its edge covers nothing: its weights become NaN, which is not >= 0.
    inverse = torch.where(area.abs() < 1e-9, torch.nan, 1 / area)
    dx, dy = column + 0.5 - a[:, 0], row + 0.5 - a[:, 1]
    second = (ac[:, 1] * inverse) * dx + (-ac[:, 0] * inverse) * dy
    third = (-ab[:, 1] * inverse) * dx + (ab[:, 0] * inverse) * dy
    weights = torch.stack([1 - second - third, second, third], 1)
    return weights, (weights * corners[..., 2]).sum(1)


def _pytorch3d() -> tuple[Any, Any]:
    """Its function that rasterises, and its class of meshes."""
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except (ImportError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            f"the rasteriser pytorch3d cannot be loaded ({reason}); build it for this torch as "
            "docs/bodies.md says, or take numba or torch"
        ) from error
    return rasterize_meshes, Meshes


def rasterise_pytorch3d(screen: Float32Array, faces: Faces, height: int, width: int) -> Fragments:
    """:func:`rasterise` by pytorch3d, on the GPU where there is one.

    Raises:
        UserError: If pytorch3d is not installed.
    """
    rasterize_meshes, meshes = _pytorch3d()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    points = torch.from_numpy(screen).to(device)
    # Its x goes left and its y up, and the smaller side of the picture spans -1 to 1.
    flat = (points.new_tensor([width, height]) - 2 * points[..., :2]) / min(height, width)
    # It leaves out what lies behind the camera, which is where its depth is below 0.
    behind = 1 - points[..., 2:].amin((1, 2), keepdim=True)
    corners = torch.from_numpy(faces).to(device).long().expand(len(screen), -1, -1)
    face, depth, barycentric, _ = rasterize_meshes(
        meshes(torch.cat([flat, points[..., 2:] + behind], -1), corners),
        image_size=(height, width),
        faces_per_pixel=1,
        bin_size=0,
        cull_backfaces=False,
    )
    seen = face[..., 0] >= 0
    # A constant that it adds to areas leaves the weights of small faces short of 1 in all.
    total = barycentric[..., 0, :].sum(-1)
    body = torch.arange(len(screen), device=device)[:, None, None]
    return Fragments(
        torch.where(seen, face[..., 0] - body * len(faces), -1).int().cpu().numpy(),
        torch.where(seen[..., None], barycentric[..., 0, :] / total[..., None], 0).cpu().numpy(),
        torch.where(seen, depth[..., 0] / total - behind, np.inf).cpu().numpy(),
    )


RASTERISERS: dict[str, Rasteriser] = {
    "numba": rasterise,
    "torch": rasterise_torch,
    "pytorch3d": rasterise_pytorch3d,
}


def load_rasteriser(name: str) -> Rasteriser:
    """The rasteriser of a name, if it can run here.

    Raises:
        UserError: If there is none of this name, or its package is not installed.
    """
    if name not in RASTERISERS:
        raise UserError(f"unknown rasteriser {name!r}; known: {', '.join(RASTERISERS)}")
    if name == "pytorch3d":
        _pytorch3d()
    return RASTERISERS[name]

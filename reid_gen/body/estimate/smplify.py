"""Fitting estimated bodies to key points and masks (after Bogo et al., ECCV 2016, SMPLify)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.camera import project, upright
from reid_gen.body.estimate.keypoints_and_masks import Evidence
from reid_gen.body.estimate.regressor import RIGHT, from_6d, seen_joints, to_6d
from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.table import BodyTable
from reid_gen.types import Float32Array

COCO = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
SMPL = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
"""The same joints in both orders; the face has none in SMPL."""
STEPS = 120
RATE = 0.02
FAR = 0.15
"""Half heights beyond which a key point counts as wrong and pulls less and less."""
PRIOR, SHAPE = 2.0, 0.02
COVERED = 192
"""Pixels of each mask that are asked for a vertex nearby."""
EVERY = 5
"""Of the vertices that are compared with masks."""


def refine(
    table: BodyTable, evidence: Evidence, body: BodyModel, rasteriser: Rasteriser = rasterise
) -> BodyTable:
    """Bodies close to their estimates that agree better with what is known of the images.

    Where there are key points, the same body with its back to front is tried too: taking one for
    the other is the commonest error of estimates, and none that small steps undo.

    Args:
        table: Estimates, B of one image size.
        evidence: On them; images without any keep their estimate.
        body: That the estimates are of.
        rasteriser: Draws the bodies that are compared with masks in the end.

    Returns:
        The table with pose, shape and camera fitted, and as score the agreement in 0..1: the mean
        of the share of known key points within a tenth of half the height, and the mask's IoU.
    """
    rows = np.flatnonzero((evidence.points[..., 2] > 0).any(1) | evidence.mask.any((1, 2)))
    if not len(rows):
        return table
    known = Evidence(evidence.points[rows], evidence.mask[rows])
    start = {name: getattr(table, name)[rows] for name in ("pose", "shape", "camera")}
    best, loss = _fit(start, known, body)
    pointed = (known.points[..., 2] > 0).any(1)
    if pointed.any():
        turned, other = _fit(start | {"pose": _back_to_front(start["pose"])}, known, body)
        better = pointed & (other < loss)
        for name, values in turned.items():
            best[name][better] = values[better]
    columns = {name: getattr(table, name).copy() for name in (*start, "score")}
    for name, values in best.items():
        columns[name][rows] = values
    columns["score"][rows] = _agreement(best, known, body, rasteriser)
    return replace(table, **columns)


def _back_to_front(pose: Float32Array) -> Float32Array:
    turned = pose.copy()
    about = Rotation.from_rotvec(np.pi * upright(pose))
    turned[:, 0] = (about * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return turned


@dataclass(frozen=True)
class _Targets:
    """Evidence as tensors.

    Attributes:
        points: [B, 12, 3].
        outside: How far each pixel is from the mask, [B, 1, H, W] half heights; 0 without mask.
        inside: Some pixels of the mask, [B, COVERED, 2] half heights.
        masked: 1 where there is a mask, [B].
    """

    points: Tensor
    outside: Tensor
    inside: Tensor
    masked: Tensor


def _targets(evidence: Evidence) -> _Targets:
    count, height, width = evidence.mask.shape
    outside = np.zeros((count, 1, height, width), np.float32)
    inside = np.zeros((count, COVERED, 2), np.float32)
    for row in np.flatnonzero(evidence.mask.any((1, 2))):
        mask = evidence.mask[row]
        outside[row, 0] = distance_transform_edt(~mask) * 2 / height
        y, x = np.nonzero(mask)
        some = np.linspace(0, len(x) - 1, COVERED).astype(int)
        inside[row] = np.stack([2 * x[some] + 1 - width, 2 * y[some] + 1 - height], -1) / height
    masked = torch.from_numpy(evidence.mask.any((1, 2))).float()
    points = torch.from_numpy(evidence.points[:, COCO])
    return _Targets(points, torch.from_numpy(outside), torch.from_numpy(inside), masked)


def _fit(
    start: dict[str, Float32Array], evidence: Evidence, body: BodyModel
) -> tuple[dict[str, Float32Array], Float32Array]:
    targets = _targets(evidence)
    rotation = Rotation.from_rotvec(start["pose"].reshape(-1, 3)).as_matrix()
    begin = to_6d(torch.from_numpy(rotation).float().view(-1, 24, 3, 3))
    pose = begin.clone().requires_grad_()
    shape, camera = (
        torch.from_numpy(start[n]).clone().requires_grad_() for n in ("shape", "camera")
    )
    optimizer = torch.optim.Adam([pose, shape, camera], RATE)
    loss = torch.zeros(len(pose))
    for _ in range(STEPS):
        loss = _disagreement(pose, shape, camera, targets, body)
        stay = PRIOR * ((pose - begin) ** 2).mean((1, 2)) + SHAPE * (shape**2).mean(1)
        optimizer.zero_grad()
        torch.autograd.backward((loss + stay).sum())
        optimizer.step()
    vectors = Rotation.from_matrix(from_6d(pose.detach()).reshape(-1, 3, 3).numpy()).as_rotvec()
    fitted = {
        "pose": vectors.reshape(-1, 24, 3).astype(np.float32),
        "shape": shape.detach().numpy(),
        "camera": camera.detach().numpy(),
    }
    return fitted, loss.detach().numpy()


def _disagreement(
    pose: Tensor, shape: Tensor, camera: Tensor, targets: _Targets, body: BodyModel
) -> Tensor:
    """Of bodies with key points and masks, [B]."""
    rotation = from_6d(pose)
    if targets.masked.any():
        posed = body(rotation, shape)
        joints, vertices = posed.joints, posed.vertices[:, ::EVERY]
    else:
        joints, vertices = body.joints(rotation, shape), None
    error = ((seen_joints(joints, camera)[:, SMPL] - targets.points[..., :2]) ** 2).sum(-1)
    sure = targets.points[..., 2]
    total = (sure * error / (error + FAR**2)).sum(1) / sure.sum(1).clamp_min(1e-6)
    if vertices is None:
        return total
    height, width = targets.outside.shape[2:]
    flat = seen_joints(torch.cat([joints[:, :1], vertices], 1), camera)[:, 1:]
    place = flat * flat.new_tensor([height / width, 1])
    beyond = F.grid_sample(
        targets.outside, place[:, None], padding_mode="border", align_corners=False
    ).mean((1, 2, 3))
    uncovered = torch.cdist(targets.inside, flat).amin(2).mean(1)
    return total + targets.masked * 4 * (beyond + uncovered)


def _agreement(
    columns: dict[str, Float32Array], evidence: Evidence, body: BodyModel, rasteriser: Rasteriser
) -> Float32Array:
    rotation = Rotation.from_rotvec(columns["pose"].reshape(-1, 3)).as_matrix()
    matrices = torch.from_numpy(rotation).float().view(-1, 24, 3, 3)
    with torch.no_grad():
        posed = body(matrices, torch.from_numpy(columns["shape"]))
    points = evidence.points[:, COCO]
    seen = seen_joints(posed.joints, torch.from_numpy(columns["camera"]))[:, SMPL].numpy()
    right = np.linalg.norm(seen - points[..., :2], axis=-1) < RIGHT
    known = points[..., 2] > 0
    share = (right & known).sum(1) / np.maximum(known.sum(1), 1)
    height, width = evidence.mask.shape[1:]
    vertices = (posed.vertices - posed.joints[:, :1]).numpy()
    drawn = rasteriser(
        project(vertices, columns["camera"], height, width), body.faces, height, width
    )
    body_mask = drawn.face >= 0
    union = (body_mask | evidence.mask).sum((1, 2))
    overlap = (body_mask & evidence.mask).sum((1, 2)) / np.maximum(union, 1)
    pointed, masked = known.any(1), evidence.mask.any((1, 2))
    return ((share * pointed + overlap * masked) / (1.0 * pointed + masked)).astype(np.float32)

"""Fitting of estimated bodies to keypoints and masks (after SMPLify: Bogo et al., ECCV 2016)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.camera import pelvis_up_axis, project
from reid_gen.body.estimate.keypoints_and_masks import Evidence
from reid_gen.body.estimate.regressor import CORRECT_RADIUS, from_6d, project_joints, to_6d
from reid_gen.body.model import BodyModel
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.table import BodyTable
from reid_gen.types import Float32Array

COCO_JOINTS = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
SMPL_JOINTS = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
"""The same 12 joints in COCO's and in SMPL's order; SMPL has no facial joints."""
NUM_STEPS = 120
LEARNING_RATE = 0.02
ROBUST_SCALE = 0.15
"""Sigma of the Geman-McClure penalty in half heights; farther keypoints count as outliers."""
POSE_PRIOR_WEIGHT, SHAPE_PRIOR_WEIGHT = 2.0, 0.02
NUM_MASK_PIXELS = 192
"""Number of pixels per mask that should have a projected vertex nearby."""
VERTEX_STRIDE = 5
"""Only every fifth vertex is compared with masks."""


def refine(
    table: BodyTable, evidence: Evidence, body: BodyModel, rasteriser: Rasteriser = rasterise
) -> BodyTable:
    """Fit estimated bodies to keypoints and masks while staying close to the estimates.

    With keypoints, a fit from the body rotated by 180 degrees is tried as well: confusing front and
    back is the most frequent error of estimators, and gradient descent cannot undo it.

    Args:
        table: B estimated bodies, all of one image size.
        evidence: Keypoints and masks; images without either keep their estimate.
        body: Body model of the estimates.
        rasteriser: Rasteriser for the final comparison with masks.

    Returns:
        The table with fitted pose, shape and camera. The score of a fitted body is its agreement in
        0..1: the mean of the fraction of keypoints within ``CORRECT_RADIUS`` and the mask IoU.
    """
    rows = np.flatnonzero((evidence.keypoints[..., 2] > 0).any(1) | evidence.mask.any((1, 2)))
    if not len(rows):
        return table
    evidence = Evidence(evidence.keypoints[rows], evidence.mask[rows])
    initial = {name: getattr(table, name)[rows] for name in ("pose", "shape", "camera")}
    best, loss = _fit(initial, evidence, body)
    has_keypoints = (evidence.keypoints[..., 2] > 0).any(1)
    if has_keypoints.any():
        flipped_pose = _flip_front_back(initial["pose"])
        flipped, flipped_loss = _fit(initial | {"pose": flipped_pose}, evidence, body)
        better = has_keypoints & (flipped_loss < loss)
        for name, values in flipped.items():
            best[name][better] = values[better]
    columns = {name: getattr(table, name).copy() for name in (*initial, "score")}
    for name, values in best.items():
        columns[name][rows] = values
    columns["score"][rows] = _agreement(best, evidence, body, rasteriser)
    return replace(table, **columns)


def _flip_front_back(pose: Float32Array) -> Float32Array:
    """Rotate bodies by 180 degrees about their up axes."""
    flipped = pose.copy()
    half_turn = Rotation.from_rotvec(np.pi * pelvis_up_axis(pose))
    flipped[:, 0] = (half_turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    return flipped


@dataclass(frozen=True)
class _Targets:
    """Evidence in the form that the loss needs.

    Attributes:
        keypoints: x, y and confidence of ``COCO_JOINTS``, [B, 12, 3].
        distance: Distance of each pixel to the mask in half heights, [B, 1, H, W]; 0 without mask.
        mask_pixels: Sampled pixels of the mask in half heights, [B, NUM_MASK_PIXELS, 2].
        has_mask: 1 for images with a mask, else 0, [B].
    """

    keypoints: Tensor
    distance: Tensor
    mask_pixels: Tensor
    has_mask: Tensor


def _targets(evidence: Evidence) -> _Targets:
    batch_size, height, width = evidence.mask.shape
    distance = np.zeros((batch_size, 1, height, width), np.float32)
    mask_pixels = np.zeros((batch_size, NUM_MASK_PIXELS, 2), np.float32)
    for row in np.flatnonzero(evidence.mask.any((1, 2))):
        mask = evidence.mask[row]
        distance[row, 0] = distance_transform_edt(~mask) * 2 / height
        y, x = np.nonzero(mask)
        sample = np.linspace(0, len(x) - 1, NUM_MASK_PIXELS).astype(int)
        centred = np.stack([2 * x[sample] + 1 - width, 2 * y[sample] + 1 - height], -1)
        mask_pixels[row] = centred / height
    has_mask = torch.from_numpy(evidence.mask.any((1, 2))).float()
    keypoints = torch.from_numpy(evidence.keypoints[:, COCO_JOINTS])
    return _Targets(keypoints, torch.from_numpy(distance), torch.from_numpy(mask_pixels), has_mask)


def _fit(
    initial: dict[str, Float32Array], evidence: Evidence, body: BodyModel
) -> tuple[dict[str, Float32Array], Float32Array]:
    """Optimise pose, shape and camera; return them with the final loss of each body, [B]."""
    targets = _targets(evidence)
    rotation = Rotation.from_rotvec(initial["pose"].reshape(-1, 3)).as_matrix()
    initial_pose = to_6d(torch.from_numpy(rotation).float().view(-1, 24, 3, 3))
    pose = initial_pose.clone().requires_grad_()
    shape, camera = (
        torch.from_numpy(initial[name]).clone().requires_grad_() for name in ("shape", "camera")
    )
    optimizer = torch.optim.Adam([pose, shape, camera], LEARNING_RATE)
    loss = torch.zeros(len(pose))
    for _ in range(NUM_STEPS):
        loss = _data_loss(pose, shape, camera, targets, body)
        pose_prior = POSE_PRIOR_WEIGHT * ((pose - initial_pose) ** 2).mean((1, 2))
        prior = pose_prior + SHAPE_PRIOR_WEIGHT * (shape**2).mean(1)
        optimizer.zero_grad()
        torch.autograd.backward((loss + prior).sum())
        optimizer.step()
    matrices = from_6d(pose.detach()).reshape(-1, 3, 3).numpy()
    rotation_vectors = Rotation.from_matrix(matrices).as_rotvec()
    fitted = {
        "pose": rotation_vectors.reshape(-1, 24, 3).astype(np.float32),
        "shape": shape.detach().numpy(),
        "camera": camera.detach().numpy(),
    }
    return fitted, loss.detach().numpy()


def _data_loss(
    pose: Tensor, shape: Tensor, camera: Tensor, targets: _Targets, body: BodyModel
) -> Tensor:
    """Compute the keypoint and mask losses of each body, [B]."""
    rotation = from_6d(pose)
    if targets.has_mask.any():
        posed = body(rotation, shape)
        joints, vertices = posed.joints, posed.vertices[:, ::VERTEX_STRIDE]
    else:
        joints, vertices = body.forward_joints(rotation, shape), None
    joints_2d = project_joints(joints, camera)[:, SMPL_JOINTS]
    error = ((joints_2d - targets.keypoints[..., :2]) ** 2).sum(-1)
    confidence = targets.keypoints[..., 2]
    robust_error = confidence * error / (error + ROBUST_SCALE**2)
    keypoint_loss = robust_error.sum(1) / confidence.sum(1).clamp_min(1e-6)
    if vertices is None:
        return keypoint_loss
    height, width = targets.distance.shape[2:]
    vertices_2d = project_joints(torch.cat([joints[:, :1], vertices], 1), camera)[:, 1:]
    grid = vertices_2d * vertices_2d.new_tensor([height / width, 1])
    outside = F.grid_sample(
        targets.distance, grid[:, None], padding_mode="border", align_corners=False
    ).mean((1, 2, 3))
    uncovered = torch.cdist(targets.mask_pixels, vertices_2d).amin(2).mean(1)
    return keypoint_loss + targets.has_mask * 4 * (outside + uncovered)


def _agreement(
    columns: dict[str, Float32Array], evidence: Evidence, body: BodyModel, rasteriser: Rasteriser
) -> Float32Array:
    """Average the fraction of correct keypoints and the mask IoU, as available, [B]."""
    rotation = Rotation.from_rotvec(columns["pose"].reshape(-1, 3)).as_matrix()
    matrices = torch.from_numpy(rotation).float().view(-1, 24, 3, 3)
    with torch.no_grad():
        posed = body(matrices, torch.from_numpy(columns["shape"]))
    keypoints = evidence.keypoints[:, COCO_JOINTS]
    joints_2d = project_joints(posed.joints, torch.from_numpy(columns["camera"]))
    error = np.linalg.norm(joints_2d[:, SMPL_JOINTS].numpy() - keypoints[..., :2], axis=-1)
    valid = keypoints[..., 2] > 0
    correct = ((error < CORRECT_RADIUS) & valid).sum(1) / np.maximum(valid.sum(1), 1)
    height, width = evidence.mask.shape[1:]
    vertices = (posed.vertices - posed.joints[:, :1]).numpy()
    screen = project(vertices, columns["camera"], height, width)
    silhouette = rasteriser(screen, body.faces, height, width).face >= 0
    union = (silhouette | evidence.mask).sum((1, 2))
    iou = (silhouette & evidence.mask).sum((1, 2)) / np.maximum(union, 1)
    has_keypoints, has_mask = valid.any(1), evidence.mask.any((1, 2))
    score = (correct * has_keypoints + iou * has_mask) / (1.0 * has_keypoints + has_mask)
    return score.astype(np.float32)

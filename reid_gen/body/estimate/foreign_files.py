"""Body parameters estimated by other programs, one file per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.model import BodyModel
from reid_gen.body.safe_pickle import unpickle_arrays
from reid_gen.body.table import BodyTable
from reid_gen.data.images import image_size
from reid_gen.data.tables import read_npz
from reid_gen.errors import UserError, join_some
from reid_gen.types import Float32Array, Int64Array, Uint8Array

SUFFIXES = (".npz", ".pkl")
POSES = ("pose", "pred_pose", "pred_rotmat")
SHAPES = ("shape", "betas", "pred_betas")
CAMERAS = ("cam", "pred_cam", "pred_camera")
"""Names of the results of HMR, SPIN, PyMAF and 4D-Humans."""
RULE = (
    "give `theta` [85] (HMR), or `pose` [24, 3], [72] or [24, 3, 3] (or `global_orient` and "
    "`body_pose`), `betas` [10] and `pred_cam` [3]"
)
FLIP_YZ = np.diag([1.0, -1.0, -1.0])
"""HMR's camera coordinates (y down, z away) to ours (y up, z towards the camera)."""


class PrecomputedBodies:
    """Body estimator that reads the results of another program, one file per image.

    Args:
        folder: Folder of results, see :func:`read_body_files`.
        paths: Image path of each key.
        body: SMPL.
    """

    height, width = 128, 64

    def __init__(self, folder: Path, paths: Mapping[str, Path], body: BodyModel) -> None:
        self.source = f"files in {folder}"
        self.folder = folder
        self.paths = paths
        self.body = body

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Read the bodies of ``keys``; ``pixels`` is unused, decoding it only checks the images."""
        size = np.array([image_size(self.paths[key]) for key in keys])
        return read_body_files(self.folder, keys, size, self.body)


def read_body_files(
    folder: Path, keys: Sequence[str], size: Int64Array, body: BodyModel
) -> BodyTable:
    """Read body parameters in HMR's convention, one file per image.

    HMR's weak-perspective camera (s, t_x, t_y) maps a point to ``s (X + t_x)`` in half sides of the
    square that encloses the crop, y down; X is not relative to the pelvis.

    Args:
        folder: Folder of ``KEY.npz`` or ``KEY.pkl``, with or without the key's folders.
        keys: Image keys.
        size: Height and width of each image in pixels, [N, 2].
        body: SMPL, whose pelvis relates the two camera conventions.

    Returns:
        The bodies in our convention.

    Raises:
        UserError: If an image has no file, or a file holds no body.
    """
    paths = [_find_file(folder, key) for key in keys]
    missing = [key for key, path in zip(keys, paths, strict=True) if path is None]
    if missing:
        raise UserError(
            f"{folder} has no body for {len(missing)} of {len(keys)} images: {join_some(missing)}; "
            "name each file like its image, with the extension .npz or .pkl"
        )
    bodies = [_read_body(path) for path in paths if path is not None]
    pose, shape, camera, score = (
        np.stack(column).astype(np.float32) for column in zip(*bodies, strict=True)
    )
    pose, camera = from_hmr_convention(pose, shape, camera, size, body)
    return BodyTable(tuple(keys), pose, shape, camera, score, size, source=f"files in {folder}")


def from_hmr_convention(
    pose: Float32Array, shape: Float32Array, camera: Float32Array, size: Int64Array, body: BodyModel
) -> tuple[Float32Array, Float32Array]:
    """Convert pose and camera from HMR's convention to ours.

    Args:
        pose: Rotation vectors, root first, y down and z away, [N, 24, 3].
        shape: Shape coefficients, [N, 10].
        camera: (s, t_x, t_y) as in :func:`read_body_files`, [N, 3].
        size: Height and width of each image in pixels, [N, 2].
        body: SMPL.

    Returns:
        Pose [N, 24, 3] and camera [N, 3].
    """
    converted = pose.astype(np.float32)
    root = Rotation.from_matrix(FLIP_YZ) * Rotation.from_rotvec(pose[:, 0])
    converted[:, 0] = root.as_rotvec()
    return converted, _camera_about_pelvis(camera, _pelvis(body, shape), size)


def _find_file(folder: Path, key: str) -> Path | None:
    stem = PurePosixPath(key).with_suffix("")
    for base in (folder / stem, folder / stem.name):
        for suffix in SUFFIXES:
            path = base.with_name(base.name + suffix)
            if path.is_file():
                return path
    return None


def _read_body(path: Path) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
    """Read pose [24, 3], shape [10], camera [3] and score [] in HMR's convention."""
    try:
        body = _parse_body(path, _read_content(path))
        if not all(np.isfinite(values).all() for values in body):
            raise ValueError("values that are not finite (NaN or infinite)")
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"{path} holds no body: {error}; {RULE}") from error
    return body


def _parse_body(
    path: Path, content: dict[str, Any]
) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
    if "theta" in content:
        theta = np.asarray(content["theta"], dtype=np.float64).reshape(-1)
        if theta.size != 85:
            raise UserError(f"{path}: theta has {theta.size} values; {RULE}")
        content = {"cam": theta[:3], "pose": theta[3:75], "betas": theta[75:]}
    pose = Rotation.from_matrix(_rotation_matrices(path, content))
    shape, camera = _first_of(path, content, SHAPES), _first_of(path, content, CAMERAS)
    if shape.size < 10 or camera.size != 3:
        raise UserError(f"{path}: {shape.size} shape and {camera.size} camera values; {RULE}")
    score = np.asarray(content.get("score", 1.0), dtype=np.float64).reshape(-1)[0]
    return pose.as_rotvec(), shape.reshape(-1)[:10], camera.reshape(-1), score


def _read_content(path: Path) -> dict[str, Any]:
    try:
        return read_npz(path) if path.suffix == ".npz" else unpickle_arrays(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no body: {error}; {RULE}") from error


def _first_of(path: Path, content: dict[str, Any], names: Sequence[str]) -> Float32Array:
    for name in names:
        if name in content:
            return np.asarray(content[name], dtype=np.float64)
    raise UserError(f"{path} has none of {', '.join(names)}; {RULE}")


def _rotation_matrices(path: Path, content: dict[str, Any]) -> Float32Array:
    if "global_orient" in content and "body_pose" in content:
        parts = (np.asarray(content[name]).reshape(-1) for name in ("global_orient", "body_pose"))
        values = np.concatenate(list(parts))
    else:
        values = _first_of(path, content, POSES).reshape(-1)
    if values.size == 72:
        return Rotation.from_rotvec(values.reshape(24, 3)).as_matrix()
    if values.size == 216:
        return values.reshape(24, 3, 3)
    raise UserError(f"{path}: the pose has {values.size} values; {RULE}")


def _pelvis(body: BodyModel, shape: Float32Array) -> Float32Array:
    """Compute the pelvis position of T-posed bodies, [N, 3]."""
    t_pose = torch.eye(3).expand(len(shape), 24, 3, 3)
    with torch.no_grad():
        return body.forward_joints(t_pose, torch.from_numpy(shape))[:, 0].numpy()


def _camera_about_pelvis(
    camera: Float32Array, pelvis: Float32Array, size: Int64Array
) -> Float32Array:
    """Convert cameras to scale and shift in half heights, for points relative to the pelvis."""
    side_per_height = size.max(1, keepdims=True) / size[:, :1]
    shift = camera[:, 1:] + pelvis[:, :2]
    scale = camera[:, :1]
    return np.concatenate([scale, scale * shift], axis=1).astype(np.float32) * side_per_height

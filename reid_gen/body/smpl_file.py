"""Reading of SMPL model files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.safe_pickle import unpickle_arrays
from reid_gen.data.tables import read_npz
from reid_gen.errors import UserError

FILE_NAMES = ("SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz")
WAY_OUT = (
    "register at smpl.is.tue.mpg.de (non-commercial licence) and give the file, or the folder of "
    "models/smpl/SMPL_NEUTRAL.pkl"
)
ARRAY_NAMES = (
    "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f",
)  # fmt: skip
OTHER_MODELS = {52: "SMPL+H", 55: "SMPL-X"}
"""Number of joints -> name of a related model that users may confuse with SMPL."""
NUM_BETAS = 10
MAX_ELEMENTS = 50_000_000
"""Largest accepted number of elements in one array; SMPL's largest array has 6 million."""


def read_smpl(path: Path) -> BodyArrays:
    """Read an SMPL model file.

    Args:
        path: ``.pkl`` or ``.npz`` file, or a folder in smplx's layout (``models/`` or
            ``models/smpl/``).

    Returns:
        The model's arrays with the first 10 shape directions.

    Raises:
        UserError: If the file does not exist or is no SMPL model.
    """
    file = _find_file(path)
    content = _read_npz(file) if file.suffix == ".npz" else _read_pickle(file)
    missing = [name for name in ARRAY_NAMES if name not in content]
    if missing:
        raise UserError(f"{file} is no SMPL model: {', '.join(missing)} missing; {WAY_OUT}")
    try:
        return _body_arrays({name: _to_dense(content[name]) for name in ARRAY_NAMES}, file)
    except (ValueError, TypeError, IndexError, AttributeError, MemoryError) as error:
        raise UserError(
            f"{file} is no SMPL model of a known version: {error}; {WAY_OUT}"
        ) from error


def _body_arrays(values: dict[str, NDArray[Any]], file: Path) -> BodyArrays:
    num_joints = len(values["J_regressor"])
    if num_joints != 24:
        name = OTHER_MODELS.get(num_joints, "no SMPL")
        raise UserError(f"{file} has {num_joints} joints and is {name}; SMPL has 24; {WAY_OUT}")
    parents = values["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    return BodyArrays(
        template=values["v_template"].astype(np.float32),
        shape_directions=values["shapedirs"][..., :NUM_BETAS].astype(np.float32),
        pose_directions=values["posedirs"].astype(np.float32),
        joint_regressor=values["J_regressor"].astype(np.float32),
        skinning=values["weights"].astype(np.float32),
        parents=parents,
        faces=values["f"].astype(np.int32),
    )


def _find_file(path: Path) -> Path:
    if path.is_file():
        return path
    for folder in (path, path / "smpl"):
        for name in FILE_NAMES:
            if (folder / name).is_file():
                return folder / name
    raise UserError(f"no SMPL model at {path}; {WAY_OUT}")


def _read_npz(file: Path) -> dict[str, Any]:
    try:
        return read_npz(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no SMPL model: {error}; {WAY_OUT}") from error


def _read_pickle(file: Path) -> dict[str, Any]:
    try:
        return unpickle_arrays(file)
    except ValueError as error:
        raise UserError(f"{file} is no SMPL model: {error}; {WAY_OUT}") from error


def _to_dense(value: Any) -> NDArray[Any]:
    shape = getattr(value, "shape", ())
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"an array of {shape}")
    dense = value.toarray() if sparse.issparse(value) else np.asarray(value)
    if dense.dtype.kind not in "fiu" or not np.isfinite(dense).all():
        raise ValueError(f"an array of {dense.dtype}, NaN or infinite values")
    return dense

"""Reading SMPL's own files."""

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

LAYOUT = ("SMPL_NEUTRAL.pkl", "SMPL_NEUTRAL.npz")
WHERE = (
    "register at smpl.is.tue.mpg.de (non-commercial licence) and give the file, or the folder of "
    "models/smpl/SMPL_NEUTRAL.pkl"
)
ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
RELATIVES = {52: "SMPL+H", 55: "SMPL-X"}
"""Joints -> model, for files that are taken for SMPL's."""
SHAPES = 10
MOST = 50_000_000
"""Numbers in one array; SMPL's largest has 6 million."""


def read_smpl(path: Path) -> BodyArrays:
    """Read an SMPL model file.

    Args:
        path: ``.pkl`` or ``.npz``, or a folder as smplx has it (``models/`` or ``models/smpl/``).

    Returns:
        The model with its first 10 shape directions.

    Raises:
        UserError: If there is no such file, or it is no SMPL model.
    """
    file = _find(path)
    content = _read_npz(file) if file.suffix == ".npz" else _read_pickle(file)
    missing = [name for name in ARRAYS if name not in content]
    if missing:
        raise UserError(f"{file} is no SMPL model: {', '.join(missing)} missing; {WHERE}")
    try:
        return _model({name: _dense(content[name]) for name in ARRAYS}, file)
    except (ValueError, TypeError, IndexError, AttributeError, MemoryError) as error:
        raise UserError(f"{file} is no SMPL model of a known version: {error}; {WHERE}") from error


def _model(values: dict[str, NDArray[Any]], file: Path) -> BodyArrays:
    joints = len(values["J_regressor"])
    if joints != 24:
        name = RELATIVES.get(joints, "no SMPL")
        raise UserError(f"{file} has {joints} joints and is {name}; SMPL has 24; {WHERE}")
    parents = values["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    return BodyArrays(
        template=values["v_template"].astype(np.float32),
        shape_directions=values["shapedirs"][..., :SHAPES].astype(np.float32),
        pose_directions=values["posedirs"].astype(np.float32),
        joint_regressor=values["J_regressor"].astype(np.float32),
        skinning=values["weights"].astype(np.float32),
        parents=parents,
        faces=values["f"].astype(np.int32),
    )


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    places = [folder / name for folder in (path, path / "smpl") for name in LAYOUT]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"no SMPL model at {path}; {WHERE}")


def _read_npz(file: Path) -> dict[str, Any]:
    try:
        return read_npz(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no SMPL model: {error}; {WHERE}") from error


def _read_pickle(file: Path) -> dict[str, Any]:
    try:
        return unpickle_arrays(file)
    except ValueError as error:
        raise UserError(f"{file} is no SMPL model: {error}; {WHERE}") from error


def _dense(value: Any) -> NDArray[Any]:
    shape = getattr(value, "shape", ())
    if math.prod(shape) > MOST:
        raise ValueError(f"an array of {shape}")
    dense = value.toarray() if sparse.issparse(value) else np.asarray(value)
    if dense.dtype.kind not in "fiu" or not np.isfinite(dense).all():
        raise ValueError(f"an array of {dense.dtype}, NaN or infinite values")
    return dense

"""Reading SMPL's own files, which hold Python pickles, without running what is in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_gen.body.arrays import BodyArrays
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
    values = {name: _dense(content[name]) for name in ARRAYS}
    joints = len(values["J_regressor"])
    if joints != 24:
        name = RELATIVES.get(joints, "no SMPL")
        raise UserError(f"{file} has {joints} joints and is {name}; SMPL has 24; {WHERE}")
    parents = values["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    try:
        return BodyArrays(
            template=values["v_template"].astype(np.float32),
            shape_directions=values["shapedirs"][..., :SHAPES].astype(np.float32),
            pose_directions=values["posedirs"].astype(np.float32),
            joint_regressor=values["J_regressor"].astype(np.float32),
            skinning=values["weights"].astype(np.float32),
            parents=parents,
            faces=values["f"].astype(np.int32),
        )
    except ValueError as error:
        raise UserError(f"{file} is no SMPL model of a known version: {error}; {WHERE}") from error


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


def unpickle_arrays(file: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays; nothing else in it is run.

    Raises:
        UserError: If it wants to run something.
        ValueError: If it is damaged, or no dictionary.
    """
    try:
        with file.open("rb") as stream:
            # Python 2 wrote many of these files.
            content = _ArraysOnly(stream, encoding="latin1").load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds {type(content).__name__}")
    return content


class _Chumpy:
    """Stands in for chumpy's array, which SMPL's older files hold: only its values are kept."""

    x: NDArray[np.float64]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = np.asarray(state["x"])


_SPARSE = ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse.csr", "scipy.sparse._csr")
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("chumpy.ch", "Ch"): _Chumpy,
    **{(module, "csc_matrix"): sparse.csc_matrix for module in _SPARSE},
    **{(module, "csr_matrix"): sparse.csr_matrix for module in _SPARSE},
}


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, and refuses everything else that a pickle may call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in (
            "_reconstruct",
            "scalar",
        ):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise UserError(
            f"the pickle wants to call {module}.{name}, which arrays do not need; it was not run; "
            "get the file from its authors, or save its arrays as .npz"
        )


def _dense(value: Any) -> NDArray[Any]:
    if isinstance(value, _Chumpy):
        return value.x
    return value.toarray() if sparse.issparse(value) else np.asarray(value)

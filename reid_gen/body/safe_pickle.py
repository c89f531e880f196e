"""Arrays of .pkl files that others wrote: nothing in such a file is run."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reid_gen.errors import UserError


def unpickle_arrays(file: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays; nothing else in it is run.

    Neither NumPy nor SciPy sees what is pickled: they take an address that is written in the file
    for an object. Arrays of other things than numbers stay what stands in for them.

    Raises:
        UserError: If it wants to run something.
        ValueError: If it is damaged, or no dictionary.
    """
    try:
        with file.open("rb") as stream:
            # Python 2 wrote many of these files.
            content = _ArraysOnly(stream, encoding="latin1").load()
        if not isinstance(content, dict):
            raise ValueError(f"it holds {type(content).__name__}")
        return {str(name): _plain(value) for name, value in content.items()}
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(str(error) or type(error).__name__) from error


class _Type:
    """Stands in for NumPy's types."""

    def __init__(self, code: str, *flags: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def plain(self) -> np.dtype[Any]:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", self.code):
            raise ValueError(f"numbers of type {self.code!r}")
        kind = np.dtype(self.code)
        return kind.newbyteorder(">") if self.order == ">" else kind


class _Array:
    """Stands in for NumPy's arrays and scalars."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def plain(self) -> NDArray[Any]:
        shape, kind, fortran, data = self.state[-4:]
        raw = data.encode("latin1") if isinstance(data, str) else data
        values = np.frombuffer(raw, kind.plain()).copy()
        return values.reshape(shape, order="F" if fortran else "C")


class _Sparse:
    """Stands in for SciPy's sparse matrices."""

    kind: Any
    data: _Array
    indices: _Array
    indptr: _Array
    _shape: tuple[int, int]

    def plain(self) -> Any:
        parts = tuple(part.plain() for part in (self.data, self.indices, self.indptr))
        matrix = self.kind(parts, self._shape)
        matrix.check_format(full_check=True)  # it writes wherever an index points
        return matrix


class _Columns(_Sparse):
    kind = sparse.csc_matrix


class _Rows(_Sparse):
    kind = sparse.csr_matrix


class _Chumpy:
    """Stands in for chumpy's array, which SMPL's older files hold: only its values are kept."""

    x: Any

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]

    def plain(self) -> Any:
        return _plain(self.x)


def _reconstruct(*start: object) -> _Array:
    return _Array()


def _scalar(kind: _Type, data: Any = b"") -> _Array:
    return _Array((), kind, False, data)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode(encoding)


def _no_bytes() -> bytes:
    return b""


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) if isinstance(item, _Array) else item for item in value]
    if not isinstance(value, _Array | _Sparse | _Chumpy):
        return value
    try:
        return value.plain()
    except (ValueError, TypeError, AttributeError, KeyError):
        return value


_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_SPARSE = ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse.csr", "scipy.sparse._csr")
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("chumpy.ch", "Ch"): _Chumpy,
    **{(core, "_reconstruct"): _reconstruct for core in _CORES},
    **{(core, "scalar"): _scalar for core in _CORES},
    **{(module, "csc_matrix"): _Columns for module in _SPARSE},
    **{(module, "csr_matrix"): _Rows for module in _SPARSE},
}


class _ArraysOnly(pickle.Unpickler):
    """Makes what stands in for arrays, and refuses everything else that a pickle may call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise UserError(
                f"the pickle wants to call {module}.{name}, which arrays do not need; it was not "
                "run; get the file from its authors, or save its arrays as .npz"
            )
        return _KNOWN[module, name]

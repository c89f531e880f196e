"""Safe reading of arrays from third-party .pkl files: nothing in such a file is executed."""

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
    """Read a pickled dictionary of arrays without executing anything in it.

    NumPy and SciPy never unpickle the content themselves: their ``__setstate__`` would take bytes
    of the file for object pointers. An array of a non-numeric type stays a placeholder object.

    Raises:
        UserError: If the pickle calls anything besides array constructors.
        ValueError: If the file is damaged or holds no dictionary.
    """
    try:
        with file.open("rb") as stream:
            # Python 2 wrote many of these files.
            content = _ArrayUnpickler(stream, encoding="latin1").load()
        if not isinstance(content, dict):
            raise ValueError(f"it holds {type(content).__name__}")
        return {str(name): _to_array(value) for name, value in content.items()}
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(str(error) or type(error).__name__) from error


class _DtypePlaceholder:
    """Placeholder for ``numpy.dtype``."""

    def __init__(self, code: str, *flags: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def to_dtype(self) -> np.dtype[Any]:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]", self.code):
            raise ValueError(f"numbers of type {self.code!r}")
        dtype = np.dtype(self.code)
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class _ArrayPlaceholder:
    """Placeholder for NumPy arrays and scalars."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def to_array(self) -> NDArray[Any]:
        shape, dtype, fortran_order, data = self.state[-4:]
        raw = data.encode("latin1") if isinstance(data, str) else data
        values = np.frombuffer(raw, dtype.to_dtype()).copy()
        return values.reshape(shape, order="F" if fortran_order else "C")


class _SparsePlaceholder:
    """Placeholder for SciPy's compressed sparse matrices."""

    matrix_type: Any
    data: _ArrayPlaceholder
    indices: _ArrayPlaceholder
    indptr: _ArrayPlaceholder
    _shape: tuple[int, int]

    def to_array(self) -> Any:
        parts = tuple(part.to_array() for part in (self.data, self.indices, self.indptr))
        matrix = self.matrix_type(parts, self._shape)
        # SciPy's C code would write out of bounds where an index points outside the matrix.
        matrix.check_format(full_check=True)
        return matrix


class _CscPlaceholder(_SparsePlaceholder):
    matrix_type = sparse.csc_matrix


class _CsrPlaceholder(_SparsePlaceholder):
    matrix_type = sparse.csr_matrix


class _ChumpyPlaceholder:
    """Placeholder for chumpy's array type in older SMPL files; keeps only the values."""

    x: Any

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]

    def to_array(self) -> Any:
        return _to_array(self.x)


def _reconstruct(*start: object) -> _ArrayPlaceholder:
    return _ArrayPlaceholder()


def _scalar(dtype: _DtypePlaceholder, data: Any = b"") -> _ArrayPlaceholder:
    return _ArrayPlaceholder((), dtype, False, data)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode(encoding)


def _empty_bytes() -> bytes:
    return b""


def _to_array(value: Any) -> Any:
    """Convert placeholders to arrays; return anything else, or what fails, unchanged."""
    if isinstance(value, list):
        return [_to_array(item) if isinstance(item, _ArrayPlaceholder) else item for item in value]
    if not isinstance(value, _ArrayPlaceholder | _SparsePlaceholder | _ChumpyPlaceholder):
        return value
    try:
        return value.to_array()
    except (ValueError, TypeError, AttributeError, KeyError):
        return value


_NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_SPARSE_MODULES = ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse.csr", "scipy.sparse._csr")
_ALLOWED_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayPlaceholder,
    ("numpy", "dtype"): _DtypePlaceholder,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    ("chumpy.ch", "Ch"): _ChumpyPlaceholder,
    **{(core, "_reconstruct"): _reconstruct for core in _NUMPY_CORES},
    **{(core, "scalar"): _scalar for core in _NUMPY_CORES},
    **{(module, "csc_matrix"): _CscPlaceholder for module in _SPARSE_MODULES},
    **{(module, "csr_matrix"): _CsrPlaceholder for module in _SPARSE_MODULES},
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds placeholders for arrays and rejects every other callable in a pickle."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise UserError(
                f"the pickle calls {module}.{name}, which arrays do not need; it was not executed; "
                "get the file from its authors, or save its arrays as .npz"
            )
        return _ALLOWED_GLOBALS[module, name]

"""Loading of tensors from untrusted files, without running their code and with checked values."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from reid_gen.errors import UserError, join_some
from reid_gen.files import WEIGHT_SUFFIXES

WRAPPER_KEYS = ("state_dict", "model", "teacher", "a")
"""Keys under which other toolboxes store the tensors; the last two are DINO's and GCL's."""
FILE_SIGNATURES = {
    b"version https://git-lfs": "a Git LFS pointer; get the file that it stands for: git lfs pull",
    b"<": "a web page; download the file itself, which may take a browser",
    b"\x89HDF": "an HDF5 file of another framework; convert it to a torch state dict",
    b"\x1f\x8b": "compressed with gzip; unpack it",
}
"""First bytes of files that are not weights -> what they are, and what to do."""
ZIP_MEMBERS = {
    "/constants.pkl": "a TorchScript program",
    "/archive_format": "a program of torch.export",
    ".npy": "an archive of NumPy arrays",
}
"""Suffixes of members of zip files that are not state dicts -> what such a file is."""
BATCH_COUNT = "num_batches_tracked"
"""Unused buffer of batch norms; some files lack it, and its type differs."""
STATE_DICT_HINT = "give a .safetensors file or a plain torch state dict"


class _Ignored:
    """Placeholder for objects that programs store beside their tensors, such as NumPy scores."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


IGNORED_GLOBALS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
)
"""Pickled global names that are replaced by placeholders, so that NumPy never reads the file."""


def read_content(path: Path) -> object:
    """Read a weight file without running any code from it.

    Args:
        path: ``.safetensors`` file, or file written by ``torch.save``.

    Returns:
        Tensors by name, or the whole content of a torch file.

    Raises:
        UserError: If it is not a regular file, not a weight file, or contains Python objects.
    """
    if not path.is_file():
        kind = "is a folder or a device, not a regular file" if path.exists() else "does not exist"
        raise UserError(f"weight file {path} {kind}; check encoder.weights or the path")
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise UserError(
            f"{path} does not have the extension of a weight file; give one of "
            f"{', '.join(sorted(WEIGHT_SUFFIXES))}"
        )
    try:
        if (foreign := _foreign_kind(path)) is not None:
            raise UserError(f"{path} is {foreign}; {STATE_DICT_HINT}")
        if path.suffix.lower() == ".safetensors":
            return safetensors.torch.load_file(path)
        ignored: list[Any] = [(_Ignored, name) for name in IGNORED_GLOBALS]
        with torch.serialization.safe_globals(ignored), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is not a readable weight file ({error}); {STATE_DICT_HINT}"
        ) from error
    except Exception as error:  # a damaged pickle raises almost anything
        # torch's own message advises to read the file in a way that runs its code.
        objects = re.search(r"GLOBAL (\S+)", str(error))
        if objects is None:
            raise UserError(
                f"{path} is not a readable weight file: it is damaged or of another kind; "
                f"{STATE_DICT_HINT}"
            ) from error
        raise UserError(
            f"{path} holds Python objects ({objects[1]}) with its tensors or instead of them, and "
            "reading them would run its code; save only the weights with the program that wrote "
            "it: torch.save(model.state_dict(), FILE)"
        ) from error


def _foreign_kind(path: Path) -> str | None:
    """Describe a file that is not a weight file, by its content; None if it may be one."""
    with path.open("rb") as file:
        raw = file.read(200)
    if raw[8:9] == b"{":  # safetensors: header length, then JSON
        return None
    head = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "empty; download or copy it again"
    for signature, kind in FILE_SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "damaged; download or copy it again"
    for suffix, member_kind in ZIP_MEMBERS.items():
        if any(member.filename.endswith(suffix) for member in members):
            return member_kind
    # torch does not compress; 3 MB of compressed zeros can unpack to 3 GB.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        return "a compressed zip archive, which torch does not write"
    return None


def unwrap_state_dict(content: object) -> Mapping[object, object]:
    """Return the innermost mapping below ``WRAPPER_KEYS``; empty if the content is no mapping."""
    for key in WRAPPER_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return content if isinstance(content, Mapping) else {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file whose state dict contains only tensors.

    Args:
        path: File that :func:`read_content` can read, with the tensors at the top level or below
            one of ``WRAPPER_KEYS``.

    Returns:
        Tensors by name, without the prefix ``module.`` of DataParallel.

    Raises:
        UserError: If :func:`read_content` fails, if the state dict contains other values, or if a
            torch file contains no tensors.
    """
    content = unwrap_state_dict(read_content(path))
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    # Checkpoints of stages without clustering have an empty memory bank.
    may_be_empty = path.suffix.lower() == ".safetensors"
    if len(tensors) < len(content) or not (tensors or may_be_empty):
        raise UserError(f"{path} does not map names to tensors; save a state dict")
    return tensors


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    ignored_prefixes: Iterable[str] = (),
    way_out: str = "give weights made for the configured encoder",
) -> tuple[str, ...]:
    """Load tensors into a module; every name, shape, type and value must fit.

    Args:
        module: Module to load into; it changes only if everything fits.
        tensors: Tensors by name.
        source: Origin of the tensors, for the message.
        ignored_prefixes: Prefixes of names to ignore, such as a classifier the module lacks.
        way_out: What to do if they do not fit, for the message.

    Returns:
        The ignored names.

    Raises:
        UserError: If a tensor does not fit; the message lists the first five of each kind of error.
    """
    prefixes = tuple(ignored_prefixes)
    ignored = tuple(name for name in tensors if prefixes and name.startswith(prefixes))
    expected = module.state_dict()
    loaded = {name: value for name, value in tensors.items() if name not in ignored}
    optional = {name for name in expected if name.endswith(BATCH_COUNT)}
    errors_by_kind: dict[str, list[str]] = {
        "missing": [name for name in expected if name not in loaded and name not in optional],
        "unexpected": [name for name in loaded if name not in expected],
    }
    for name in loaded.keys() & expected.keys():
        mismatch = _find_mismatch(name, loaded[name], expected[name])
        if mismatch is not None:
            kind, detail = mismatch
            errors_by_kind.setdefault(kind, []).append(f"{name}{detail}")
    errors = [f"{len(n)} {kind}: {join_some(n)}" for kind, n in errors_by_kind.items() if n]
    if errors:
        raise UserError(f"{source} does not fit this architecture: {'; '.join(errors)}; {way_out}")
    module.load_state_dict(loaded, strict=False)
    return ignored


def _find_mismatch(name: str, value: Tensor, expected: Tensor) -> tuple[str, str] | None:
    """Return the kind of mismatch with the expected tensor and its detail; None if it fits."""
    if value.is_nested or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return "wrong type", " (not a plain tensor)"
    if value.shape != expected.shape:
        return "wrong shape", f" {tuple(value.shape)} instead of {tuple(expected.shape)}"
    type_differs = value.is_floating_point() != expected.is_floating_point()
    if value.is_complex() or (type_differs and not name.endswith(BATCH_COUNT)):
        return "wrong type", f" {value.dtype} instead of {expected.dtype}"
    # Large float64 values become infinite in float32.
    if not value.to(expected.dtype).isfinite().all():
        return "not finite (NaN or infinite)", ""
    if name.endswith("running_var") and (value < 0).any():
        return "negative variance", ""
    return None

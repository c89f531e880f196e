"""Tensors of files that others wrote: nothing in such a file is run, and no odd value gets in."""

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

WRAPPERS = ("state_dict", "model", "teacher", "a")
"""Under which other programs keep the tensors; the last two are DINO's and GCL's."""
HEADS = {
    b"version https://git-lfs": "a Git LFS pointer; get the file that it stands for: git lfs pull",
    b"<": "a web page; download the file itself, which may take a browser",
    b"\x89HDF": "an HDF5 file of another framework; convert it to a torch state dict",
    b"\x1f\x8b": "packed with gzip; unpack it",
}
"""How files begin that are no weights -> what they are, and what to do."""
MEMBERS = {
    "/constants.pkl": "a TorchScript program",
    "/archive_format": "a program of torch.export",
    ".npy": "an archive of NumPy arrays",
}
"""How members of zip files end that are no state dicts -> what such a file is."""
COUNT = "num_batches_tracked"
"""Buffers of batch norms that nothing reads; some files lack them, some hold other types."""
STATE_DICT = "a .safetensors file or a plain torch state dict is wanted"


class _Ignored:
    """Stands in for what programs put beside their tensors, such as a NumPy score."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


BESIDE = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
)
"""Global names that such values are pickled with; NumPy itself never sees what is in the file."""


def read_content(path: Path) -> object:
    """Read a weight file without running any code from it.

    Args:
        path: ``.safetensors``, or what ``torch.save`` wrote.

    Returns:
        Tensors by name, or what a torch file holds besides and around them.

    Raises:
        UserError: If it is no regular file, is no weight file, or holds Python objects.
    """
    if not path.is_file():
        kind = "is a folder or a device, and no file" if path.exists() else "does not exist"
        raise UserError(f"weight file {path} {kind}; check encoder.weights or the path")
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise UserError(
            f"{path} is no weight file by its ending; known: {', '.join(sorted(WEIGHT_SUFFIXES))}"
        )
    try:
        if (other := _other_kind(path)) is not None:
            raise UserError(f"{path} is {other}; {STATE_DICT}")
        if path.suffix.lower() == ".safetensors":
            return safetensors.torch.load_file(path)
        ignored: list[Any] = [(_Ignored, name) for name in BESIDE]
        with torch.serialization.safe_globals(ignored), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is no readable weight file ({error}); {STATE_DICT}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        # torch's own advice is to read the file in a way that runs its code.
        objects = re.search(r"GLOBAL (\S+)", str(error))
        if objects is None:
            raise UserError(
                f"{path} is no readable weight file: it is damaged or of another kind; {STATE_DICT}"
            ) from error
        raise UserError(
            f"{path} holds Python objects ({objects[1]}) with its tensors or instead of them, and "
            "only running its code could read these; save the weights alone where it was made: "
            "torch.save(model.state_dict(), FILE)"
        ) from error


def _other_kind(path: Path) -> str | None:
    """What a file is that holds no weights, by its first bytes and members; None if it may."""
    with path.open("rb") as file:
        raw = file.read(200)
    if raw[8:9] == b"{":  # safetensors: a length, then JSON
        return None
    head = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "empty; download or copy it again"
    for mark, kind in HEADS.items():
        if head.startswith(mark):
            return kind
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "damaged; download or copy it again"
    for end, member_kind in MEMBERS.items():
        if any(member.filename.endswith(end) for member in members):
            return member_kind
    # torch compresses nothing; 3 MB of zeros can unpack to 3 GB.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        return "a compressed zip archive, which torch does not write"
    return None


def unwrapped(content: object) -> Mapping[object, object]:
    """What a file holds by name, without the mappings of ``WRAPPERS`` around it."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return content if isinstance(content, Mapping) else {}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file that holds nothing else by their side.

    Args:
        path: As :func:`read_content` takes it; tensors lie in it directly or under one of
            ``WRAPPERS``.

    Returns:
        Tensors by name.

    Raises:
        UserError: As :func:`read_content`, or if it holds more than tensors, or none in a file
            that is no .safetensors.
    """
    content = unwrapped(read_content(path))
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    # A checkpoint of a stage that clusters nothing has a bank without tensors.
    may_be_empty = path.suffix.lower() == ".safetensors"
    if len(tensors) < len(content) or not (tensors or may_be_empty):
        raise UserError(f"{path} holds no plain mapping of names to tensors; save a state dict")
    return tensors


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    left_out: Iterable[str] = (),
    way_out: str = "give weights made for the configured encoder",
) -> tuple[str, ...]:
    """Load tensors into a module; every name, shape, type and value must fit.

    Args:
        module: Changed in place, only if everything fits.
        tensors: Tensors by name.
        source: Where they come from, for the message.
        left_out: Prefixes of names to pass over (a classifier that the module does not have).
        way_out: What to do if they do not fit, for the message.

    Returns:
        The names that were passed over.

    Raises:
        UserError: Naming the first five of each fault.
    """
    prefixes = tuple(left_out)
    passed = tuple(name for name in tensors if prefixes and name.startswith(prefixes))
    expected = module.state_dict()
    given = {name: value for name, value in tensors.items() if name not in passed}
    optional = {name for name in expected if name.endswith(COUNT)}
    faults: dict[str, list[str]] = {
        "missing": [name for name in expected if name not in given and name not in optional],
        "unexpected": [name for name in given if name not in expected],
    }
    for name in given.keys() & expected.keys():
        fault = _misfit(name, given[name], expected[name])
        if fault is not None:
            kind, detail = fault
            faults.setdefault(kind, []).append(f"{name}{detail}")
    errors = [f"{len(names)} {kind}: {join_some(names)}" for kind, names in faults.items() if names]
    if errors:
        raise UserError(f"{source} does not fit this architecture: {'; '.join(errors)}; {way_out}")
    module.load_state_dict(given, strict=False)
    return passed


def _misfit(name: str, value: Tensor, expected: Tensor) -> tuple[str, str] | None:
    """The kind of a tensor's fault and its detail; None if it can take the place of another."""
    if value.is_nested or value.layout != torch.strided or value.is_quantized or value.is_meta:
        return "wrong type", " (no plain tensor)"
    if value.shape != expected.shape:
        return "wrong shape", f" {tuple(value.shape)} instead of {tuple(expected.shape)}"
    other = value.is_floating_point() != expected.is_floating_point()
    if value.is_complex() or (other and not name.endswith(COUNT)):
        return "wrong type", f" {value.dtype} instead of {expected.dtype}"
    # What float64 holds can be infinite in float32.
    if not value.to(expected.dtype).isfinite().all():
        return "not finite (NaN or infinite)", ""
    if name.endswith("running_var") and (value < 0).any():
        return "negative variance", ""
    return None

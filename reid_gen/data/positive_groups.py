"""Format of groups of generated positives on disk: header, parts and manifests.

A folder of groups holds ``groups.json``, a header that says how they were generated, and parts,
which are written atomically: ``part-00000/manifest.jsonl`` with a line per image, and the images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from reid_gen.data.headers import differing_keys
from reid_gen.errors import UserError
from reid_gen.files import as_json, partial_path, read_json, read_regular, write_json, written_aside

FORMAT = 3
READABLE_FORMATS = (2, 3)
"""Format versions that can be read; headers of format 2 hold fewer settings."""
HEADER = "groups.json"
MANIFEST = "manifest.jsonl"
SAME_IDENTITY, SAME_POSE = "same_identity", "same_pose"
"""What the members of a group share: the person, or the pose and the text prompt."""


@dataclass(frozen=True)
class Member:
    """One generated image of a group; scores that do not apply are None.

    Attributes:
        file: Path of the image below the folder of the groups.
        group: Name of its group; images of a group are positives of each other.
        seed: Random seed of the image, or of all groups.
        source: Key of the real image that it was generated from; empty if there is none.
        degrees: Rotation of the person about the vertical axis in degrees; None if not rotated.
        prompt: Text prompt; empty if there is none.
        identity: Cosine similarity of its feature to that of its source.
        structure: IoU of its silhouette with that of the requested body, 0..1.
        difference: Distance to its source and to earlier members of the group, 0..1; 0 is a copy.
        pose: SMPL pose of a rendered body in camera coordinates: axis-angle of 24 joints in
            radians, root first, [72]; None for images from a generator network.
        sha256: Checksum of the file; :func:`write_part` sets it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    file: str
    group: str
    seed: int
    source: str = ""
    degrees: float | None = None
    prompt: str = ""
    identity: float | None = None
    structure: float | None = None
    difference: float | None = None
    pose: tuple[float, ...] | None = None
    sha256: str = ""


_MEMBER_LINE = TypeAdapter(Member)
MAX_PARTS = 100_000
"""Largest number of parts; the names of their folders have five digits."""


class _Header(TypedDict):
    """Keys of a header that are read; further keys say how the groups were generated."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    kind: str
    parts: Annotated[int, Field(ge=0, le=MAX_PARTS)]
    sources: Annotated[int, Field(ge=0)]
    members: NotRequired[Annotated[int, Field(ge=0)]]


_HEADER = TypeAdapter(_Header)


@dataclass(frozen=True)
class Groups:
    """A complete set of groups.

    Attributes:
        folder: Folder of the groups.
        header: Content of the header: how the groups were generated.
        members: Images of all groups.
    """

    folder: Path
    header: dict[str, Any]
    members: tuple[Member, ...]


def check_group_size(members: int) -> None:
    """Check that a group has at least two members, which are positives of each other.

    Raises:
        UserError: If it has fewer.
    """
    if members < 2:
        raise UserError(
            f"--members {members}: members of a group are positives of each other, so a group "
            "needs at least 2"
        )


def start_groups(folder: Path, header: dict[str, Any]) -> None:
    """Create a folder of groups with its header, or check that an existing one has the same header.

    Args:
        folder: Folder of the groups.
        header: How the groups are generated; ``parts`` is the number of parts.

    Raises:
        UserError: If the folder holds groups of other settings, or cannot be written.
    """
    header = {"format": FORMAT, **header}
    file = folder / HEADER
    if file.exists():
        existing = read_header(folder)
        # Headers of an older format hold fewer keys.
        is_older = existing["format"] != FORMAT
        compared = {key: header.get(key) for key in existing} if is_older else header
        differing = [name for name in differing_keys(existing, compared) if name != "format"]
        if differing:
            raise UserError(
                f"{folder} holds groups that were generated with other {', '.join(differing)}; "
                "give another --out, or remove it"
            )
        return
    check_no_other_files(folder)
    write_json(file, header)


def check_no_other_files(folder: Path) -> None:
    """Check, before any work, that a folder holds groups or nothing.

    Raises:
        UserError: If it holds other files.
    """
    file = folder / HEADER
    if not folder.exists() or file.exists():
        return
    if any(path != partial_path(file) for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no {HEADER}; give another --out")


def part_folder(folder: Path, number: int) -> Path:
    """Folder of a part once it is complete."""
    return folder / f"part-{number:05d}"


def missing_parts(folder: Path, header: Mapping[str, Any]) -> list[int]:
    """List the numbers of the parts that are not complete."""
    return [n for n in range(header["parts"]) if not part_folder(folder, n).is_dir()]


def write_part(folder: Path, number: int, images: Sequence[tuple[Member, bytes]]) -> None:
    """Write the images and the manifest of a part atomically.

    Args:
        folder: Folder of the groups.
        number: Number of the part.
        images: Manifest entry and file content of each image; ``file`` must be in this part.

    Raises:
        UserError: If the part cannot be written.
    """
    target = part_folder(folder, number)
    with written_aside(target) as aside:
        for member, content in images:
            (aside / Path(member.file).name).write_bytes(content)
        lines = "".join(_manifest_line(member, content) for member, content in images)
        (aside / MANIFEST).write_text(lines, encoding="utf-8")


def _manifest_line(member: Member, content: bytes) -> str:
    return member_line(replace(member, sha256=hashlib.sha256(content).hexdigest())) + "\n"


def member_line(member: Member) -> str:
    """Write a member as one line of JSON."""
    return as_json(asdict(member), None)


def parse_member(line: str | bytes) -> Member:
    """Read a member from its line.

    Raises:
        ValidationError: If the line describes no member.
    """
    return _MEMBER_LINE.validate_json(line)


def load_groups(folder: Path) -> Groups:
    """Read the header and all manifests of a folder of groups.

    Raises:
        UserError: If the folder holds no groups, parts are missing, or a header or manifest is
            damaged.
    """
    header = read_header(folder)
    parts = [part_folder(folder, number) for number in range(header["parts"])]
    if missing := missing_parts(folder, header):
        raise UserError(
            f"{folder} lacks {len(missing)} of {len(parts)} parts; run the same `reid-gen "
            "generate` command again to complete it"
        )
    members = [member for part in parts for member in _read_manifest(part / MANIFEST)]
    return Groups(folder, header, tuple(members))


def _read_manifest(file: Path) -> Iterator[Member]:
    try:
        lines = read_regular(file).splitlines()
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    for number, line in enumerate(lines, 1):
        try:
            yield parse_member(line)
        except ValidationError as error:
            fault = error.errors()[0]
            reason = " ".join([f"line {number}:", *map(str, fault["loc"]), fault["msg"]])
            raise _unreadable(file, reason) from error


def _unreadable(file: Path, reason: str) -> UserError:
    return UserError(
        f"{file} cannot be read ({reason}); remove {file.parent} and run the command that "
        "generated it again"
    )


def read_header(folder: Path) -> dict[str, Any]:
    """Read the header of a folder of groups: how they were generated.

    Raises:
        UserError: If there is none, or it is damaged or of an unsupported format.
    """
    file = folder / HEADER
    if not file.is_file():
        raise UserError(f"no groups at {folder}; generate some with `reid-gen generate`")
    try:
        header: dict[str, Any] = read_json(file)
        number = header["format"]
        if number in READABLE_FORMATS:
            _HEADER.validate_python(header)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ValidationError):
            fault = error.errors()[0]
            error = ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        raise UserError(
            f"{file} is damaged ({error!r}); restore it from a copy, or remove {folder} and "
            "generate the groups again"
        ) from error
    if number not in READABLE_FORMATS:
        raise UserError(
            f"{file} has format {number}, this version reads "
            f"{READABLE_FORMATS[0]} and {READABLE_FORMATS[1]}; generate them again"
        )
    return header

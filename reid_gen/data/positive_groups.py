"""Groups of generated images on disk: what each was made from, and how.

A folder of groups has ``groups.json``, which says how they were made, and parts that are whole or
not there: ``part-00000/manifest.jsonl`` with a line per image, and the images beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from reid_gen.errors import UserError
from reid_gen.files import as_json, partial_of, read_json, read_regular, write_json, written_aside

FORMAT = 3
READABLE_FORMATS = (2, 3)
"""Formats that are read; groups of format 2 say less about what made them."""
HEADER = "groups.json"
MANIFEST = "manifest.jsonl"
SAME_IDENTITY, SAME_POSE = "same_identity", "same_pose"
"""What the members of a group share: a person, or a pose and what was asked for in words."""


@dataclass(frozen=True)
class Member:
    """One generated image. Scores are None where they mean nothing.

    Attributes:
        file: Path below the folder of the groups.
        group: Images with the same name here are positives of each other.
        seed: From which what was random in it came: its own, or that of all groups.
        source: Key of the real image that it was made from; empty if there was none.
        degrees: How far the person was turned; None if it was not turned.
        prompt: What was asked for in words; empty if nothing was.
        identity: Cosine of its feature with its source's, by the encoder that it was made for.
        structure: Overlap of the body that is seen with the one that was asked for, 0..1.
        difference: From its source and from the group's members before it, 0..1; 0 is a copy.
        pose: Of a body that was rendered, as the camera sees it: rotation vectors of 24 joints in
            radians, root first, [72]; None if a network drew it.
        sha256: Of the file; :func:`write_part` fills it in.
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
"""Their folders have numbers of five digits."""


class _Header(TypedDict):
    """What is read of a header; how the groups were made stands beside it."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    kind: str
    parts: Annotated[int, Field(ge=0, le=MAX_PARTS)]
    sources: Annotated[int, Field(ge=0)]
    members: NotRequired[Annotated[int, Field(ge=0)]]


_HEADER = TypeAdapter(_Header)


@dataclass(frozen=True)
class Groups:
    """Groups that are all there.

    Attributes:
        folder: Where they lie.
        about: How they were made.
        members: All images.
    """

    folder: Path
    about: dict[str, Any]
    members: tuple[Member, ...]


def check_group_size(members: int) -> None:
    """See that members of a group have each other as positives.

    Raises:
        UserError: If a group would have one member.
    """
    if members < 2:
        raise UserError(
            f"--members {members}: members of a group are positives of each other, so a group "
            "needs at least 2"
        )


def start_groups(folder: Path, about: dict[str, Any]) -> None:
    """Make a folder of groups, or see that one that is there was begun in the same way.

    Args:
        folder: To make.
        about: How its groups are made; ``parts`` is their number.

    Raises:
        UserError: If other groups lie there, or it cannot be written.
    """
    about = {"format": FORMAT, **about}
    file = folder / HEADER
    if file.exists():
        there = read_header(folder)
        differing = [name for name in _differing_settings(there, about) if name != "format"]
        if differing:
            raise UserError(
                f"{folder} holds groups that were made with other {', '.join(differing)}; give "
                "another --out, or remove it"
            )
        return
    check_no_other_files(folder)
    write_json(file, about)


def check_no_other_files(folder: Path) -> None:
    """Stop before any work if a folder holds anything but groups.

    Raises:
        UserError: If so.
    """
    header = folder / HEADER
    if not folder.exists() or header.exists():
        return
    if any(path != partial_of(header) for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no {HEADER}; give another --out")


def _differing_settings(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What two headers say differently: ``seed``, ``settings.model.steps``.

    Args:
        there: Header of groups on disk; one of an older format is asked for what it says alone.
        here: Header of groups that are to be made.
    """
    older = there.get("format", FORMAT) != FORMAT
    found = []
    for name in there if older else here | there:
        one, other = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += [f"{name}.{inner}" for inner in _differing_settings(one, other)]
        elif one != other:
            found.append(name)
    return found


def part_folder(folder: Path, number: int) -> Path:
    """Where a part lies when it is done."""
    return folder / f"part-{number:05d}"


def write_part(folder: Path, number: int, made: Sequence[tuple[Member, bytes]]) -> None:
    """Write the images of a part and their lines, all of them or nothing.

    Args:
        folder: Of the groups.
        number: Of the part.
        made: Each image's line and file content; the line's ``file`` lies in the part.

    Raises:
        UserError: If it cannot be written.
    """
    target = part_folder(folder, number)
    with written_aside(target) as aside:
        for member, content in made:
            (aside / Path(member.file).name).write_bytes(content)
        lines = "".join(_line(member, content) for member, content in made)
        (aside / MANIFEST).write_text(lines, encoding="utf-8")


def _line(member: Member, content: bytes) -> str:
    signed = replace(member, sha256=hashlib.sha256(content).hexdigest())
    return as_json(asdict(signed), None) + "\n"


def load_groups(folder: Path) -> Groups:
    """Read groups.

    Raises:
        UserError: If there are none, they are not finished, or what is said of them is damaged.
    """
    about = read_header(folder)
    parts = [part_folder(folder, number) for number in range(about["parts"])]
    missing = [part for part in parts if not part.is_dir()]
    if missing:
        raise UserError(
            f"{folder} has {len(missing)} of {len(parts)} parts still to make; go on with the "
            "same `reid-gen generate` command"
        )
    members = [member for part in parts for member in _read_manifest(part / MANIFEST)]
    return Groups(folder, about, tuple(members))


def _read_manifest(file: Path) -> Iterator[Member]:
    try:
        lines = read_regular(file).splitlines()
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    for number, line in enumerate(lines, 1):
        try:
            yield _MEMBER_LINE.validate_json(line)
        except ValidationError as error:
            fault = error.errors()[0]
            reason = " ".join([f"line {number}:", *map(str, fault["loc"]), fault["msg"]])
            raise _unreadable(file, reason) from error


def _unreadable(file: Path, reason: str) -> UserError:
    return UserError(
        f"{file} cannot be read ({reason}); remove {file.parent} and go on with the command that "
        "made it"
    )


def read_header(folder: Path) -> dict[str, Any]:
    """How groups were made.

    Raises:
        UserError: If there are none, or the header is damaged or of a format that is not read.
    """
    file = folder / HEADER
    if not file.is_file():
        raise UserError(f"no groups at {folder}; make some with `reid-gen generate`")
    try:
        about: dict[str, Any] = read_json(file)
        number = about["format"]
        if number in READABLE_FORMATS:
            _HEADER.validate_python(about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ValidationError):
            fault = error.errors()[0]
            error = ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
        raise UserError(
            f"{file} is damaged ({error!r}); put a copy of it back, or remove {folder} and make "
            "the groups again"
        ) from error
    if number not in READABLE_FORMATS:
        raise UserError(
            f"{file} has format {number}, this version reads "
            f"{READABLE_FORMATS[0]} and {READABLE_FORMATS[1]}; generate them "
            "again"
        )
    return about

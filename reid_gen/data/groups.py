"""Groups of generated images on disk: what each was made from, and how.

A folder of groups has ``groups.json``, which says how they were made, and parts that are whole or
not there: ``part-00000/manifest.jsonl`` with a line per image, and the images beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reid_gen.errors import UserError, name_some
from reid_gen.files import write_bytes, written_aside

FORMAT = 2
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
        seed: From which what was random in it came.
        source: Key of the real image that it was made from; empty if there was none.
        degrees: How far the person was turned; None if it was not turned.
        prompt: What was asked for in words; empty if nothing was.
        identity: Cosine of its feature with its source's, by the encoder that it was made for.
        structure: Overlap of the body that is seen with the one that was asked for, 0..1.
        difference: From its source and from the group's members before it, 0..1; 0 is a copy.
        sha256: Of the file; :func:`write_part` fills it in.
    """

    file: str
    group: str
    seed: int
    source: str = ""
    degrees: float | None = None
    prompt: str = ""
    identity: float | None = None
    structure: float | None = None
    difference: float | None = None
    sha256: str = ""


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


def refuse_lone(members: int) -> None:
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
        there = _read_header(folder)
        differing = [name for name in about if there.get(name) != about[name]]
        if differing:
            raise UserError(
                f"{folder} holds groups that were made with other {', '.join(differing)}; give "
                "another --out, or remove it"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no {HEADER}; give another --out")
    write_bytes(file, (json.dumps(about, indent=2) + "\n").encode())


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
    return json.dumps(asdict(signed)) + "\n"


def load_groups(folder: Path) -> Groups:
    """Read groups.

    Raises:
        UserError: If there are none, or they are not finished.
    """
    about = _read_header(folder)
    missing = [n for n in range(about["parts"]) if not part_folder(folder, n).is_dir()]
    if missing:
        raise UserError(
            f"{folder} has {len(missing)} of {about['parts']} parts still to make; go on with the "
            "same `reid-gen generate` command"
        )
    members = [
        Member(**json.loads(line))
        for number in range(about["parts"])
        for line in (part_folder(folder, number) / MANIFEST).read_text("utf-8").splitlines()
    ]
    return Groups(folder, about, tuple(members))


def check_groups(groups: Groups) -> None:
    """Compare every file with its line.

    Raises:
        UserError: Naming files that are missing or differ.
    """
    bad = []
    for member in groups.members:
        file = groups.folder / member.file
        if not file.is_file():
            bad.append(f"{member.file} is missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != member.sha256:
            bad.append(f"{member.file} differs from its checksum")
    if bad:
        raise UserError(
            f"{groups.folder}: {len(bad)} of {len(groups.members)} images are damaged: "
            f"{name_some(bad)}; remove their part-* folders and generate again"
        )


def _read_header(folder: Path) -> dict[str, Any]:
    file = folder / HEADER
    if not file.is_file():
        raise UserError(f"no groups at {folder}; make some with `reid-gen generate`")
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if about["format"] != FORMAT:
        raise UserError(
            f"{file} has format {about['format']}, this version reads {FORMAT}; make them again"
        )
    return about

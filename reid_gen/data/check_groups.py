"""Check of positive groups on disk: number of images, and files against their checksums."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from reid_gen.data.positive_groups import HEADER, Groups
from reid_gen.errors import UserError, join_some


def check_groups(groups: Groups) -> None:
    """Compare the image files with the manifests, and their number with the header.

    Raises:
        UserError: Naming groups with too few or too many members, and files that are missing,
            differ from their checksum or have no manifest line.
    """
    members, sources = groups.header.get("members"), groups.header["sources"]
    if members is None:
        raise UserError(
            f"{groups.folder / HEADER} does not say how many members a group has, so they cannot "
            'be counted; add "members" to it'
        )
    miscounts = list(_miscounts(groups, members, sources))
    if miscounts:
        raise UserError(
            f"{groups.folder} lists {len(groups.members)} images, and its {HEADER} says {members} "
            f"in each of {sources} groups: {join_some(miscounts)}; remove their part-* folders and "
            "run the command that generated them again"
        )
    damaged = []
    for member in groups.members:
        file = groups.folder / member.file
        if not file.is_file():
            damaged.append(f"{member.file} is missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != member.sha256:
            damaged.append(f"{member.file} differs from its checksum")
    if damaged:
        raise UserError(
            f"{groups.folder}: {len(damaged)} of {len(groups.members)} images are damaged: "
            f"{join_some(damaged)}; remove their part-* folders and generate again"
        )


def _miscounts(groups: Groups, members: object, sources: object) -> Iterator[str]:
    """Describe unlisted images, groups of the wrong size and a wrong number of groups."""
    listed = {member.file for member in groups.members}
    for file in sorted(groups.folder.glob("part-*/*.jpg")):
        name = file.relative_to(groups.folder).as_posix()
        if name not in listed:
            yield f"{name} has no manifest line"
    counts = Counter(member.group for member in groups.members)
    yield from (f"group '{name}' has {n}" for name, n in counts.items() if n != members)
    if len(counts) != sources:
        yield f"there are {len(counts)} groups"

"""Features of any images into a file."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.data.features import FEATURE, KEY, write_table
from reid_gen.data.images import SUFFIXES, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.engine.progress import Progress
from reid_gen.errors import UserError
from reid_gen.evaluation.features import Encode, extract_features
from reid_gen.models.encoder import EncoderCard
from reid_gen.types import Floats, Image


@dataclass(frozen=True)
class FeatureTable:
    """Features by image.

    Attributes:
        images: Those that decoded, N of them, in the order asked for.
        features: Unit rows, [N, D] float32.
        unreadable: Paths of those that did not decode.
    """

    images: tuple[Image, ...]
    features: Floats
    unreadable: tuple[Path, ...]


def find_images(sources: Sequence[str]) -> tuple[Image, ...]:
    """Images meant by folders, files, globs and ``@list.txt`` files.

    A folder gives all images below it, sorted, with keys relative to it; a list file gives one path
    a line, relative to the list; a glob gives its matches, sorted. The sources keep their order.

    Raises:
        UserError: If a source matches nothing, or two images would have the same key.
    """
    images = [image for source in sources for image in _source(source)]
    seen: set[str] = set()
    for image in images:
        if image.key in seen:
            raise UserError(
                f"two images have the key {image.key!r}; extract their folders separately, or give "
                "their common parent folder"
            )
        seen.add(image.key)
    return tuple(images)


def _source(source: str) -> list[Image]:
    path = Path(source)
    if source.startswith("@"):
        return _listed(Path(source[1:]))
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        images = [Image(p.relative_to(path).as_posix(), p) for p in found]
    elif path.is_file():
        images = [Image(path.as_posix(), path)]
    else:
        # Path.glob takes no absolute pattern.
        matches = sorted(map(Path, glob.glob(source, recursive=True)))  # noqa: PTH207
        images = [Image(p.as_posix(), p) for p in matches if p.suffix.lower() in SUFFIXES]
    if not images:
        raise UserError(
            f"{source} matches no image; give a folder, a file, a quoted glob or @list.txt "
            f"({', '.join(SUFFIXES)})"
        )
    return images


def _listed(file: Path) -> list[Image]:
    if not file.is_file():
        raise UserError(f"the list {file} does not exist")
    names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    images = [Image(name, file.parent / name) for name in names if name]
    if not images:
        raise UserError(f"the list {file} names no image")
    return images


def extract(
    encode: Encode,
    card: EncoderCard,
    images: tuple[Image, ...],
    *,
    batch: int,
    workers: int,
    flip: bool,
    skip_unreadable: bool,
    progress: Progress,
) -> FeatureTable:
    """Encode images.

    Args:
        encode: Of a run or an exported encoder.
        card: Its input size.
        images: What to encode.
        batch: Images per pass.
        workers: Decoding threads.
        flip: Average with the mirrored image.
        skip_unreadable: Leave images out that do not decode (they are reported) instead of failing.
        progress: Display.

    Returns:
        The features.

    Raises:
        UserError: If images do not decode and are not to be left out, or none decodes.
    """
    loader = ImageLoader(images, card.height, card.width, workers)
    with progress.task("extract", len(images)) as advance:
        found = extract_features(encode, loader, batch=batch, flip=flip, advance=advance)
    bad = {failure.path for failure in found.failures}
    if bad and (not skip_unreadable or len(bad) == len(images)):
        raise unreadable_error(list(found.failures))
    kept = np.array([image.path not in bad for image in images])
    return FeatureTable(
        images=tuple(image for image, keep in zip(images, kept, strict=True) if keep),
        features=found.features[kept],
        unreadable=tuple(image.path for image in images if image.path in bad),
    )


def save_features(table: FeatureTable, target: Path) -> None:
    """Write columns key, path and feature (float32, length 1), by the file's ending.

    Raises:
        UserError: If the file cannot be written.
    """
    columns = {
        KEY: np.array([image.key for image in table.images]),
        "path": np.array([str(image.path) for image in table.images]),
        FEATURE: table.features,
    }
    write_table(columns, target)

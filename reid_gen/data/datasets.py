"""The table of data sets, ``DATASETS``; a new data set takes a reader and a line here."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reid_gen.data.readers import dukemtmc, folder, market1501, msmt17, pedestrians
from reid_gen.errors import UserError
from reid_gen.types import Dataset, Image, LabelledSplit


@dataclass(frozen=True)
class Counts:
    """Size of a split.

    Attributes:
        images: Number of images, without junk.
        pids: Number of people, without distractors.
        cameras: Number of cameras.
    """

    images: int
    pids: int
    cameras: int


@dataclass(frozen=True)
class DatasetSpec:
    """One data set: how it is read, and what it should hold.

    Attributes:
        read: Reader, from a root folder to the data set.
        title: Name in tables.
        official: Counts by split that the authors state; empty if there are none.
        distractor: pid of distractors, which count as images but not as a person.
        labelled: Whether it has true pids; a folder may have none.
    """

    read: Callable[[Path], Dataset]
    title: str
    official: dict[str, Counts]
    distractor: int | None = None
    labelled: bool = True


DATASETS: dict[str, DatasetSpec] = {
    market1501.NAME: DatasetSpec(
        market1501.read,
        "Market-1501",
        {
            "train": Counts(12_936, 751, 6),
            "query": Counts(3_368, 750, 6),
            "gallery": Counts(15_913, 750, 6),
        },
        distractor=market1501.DISTRACTOR,
    ),
    dukemtmc.NAME: DatasetSpec(
        dukemtmc.read,
        "DukeMTMC-reID",
        {
            "train": Counts(16_522, 702, 8),
            "query": Counts(2_228, 702, 8),
            "gallery": Counts(17_661, 1_110, 8),
        },
    ),
    msmt17.NAME: DatasetSpec(
        msmt17.read,
        "MSMT17",
        {
            "train": Counts(32_621, 1_041, 15),
            "query": Counts(11_659, 3_060, 15),
            "gallery": Counts(82_161, 3_060, 15),
        },
    ),
    pedestrians.NAME: DatasetSpec(
        pedestrians.read, "built-in", {}, distractor=pedestrians.DISTRACTOR
    ),
    folder.NAME: DatasetSpec(folder.read, "folder", {}, labelled=False),
}


def load_dataset(name: str, root: Path) -> Dataset:
    """Read a data set from disk.

    Args:
        name: A key of ``DATASETS``.
        root: Folder that holds it, in any of its usual layouts.

    Returns:
        The data set with its splits.

    Raises:
        UserError: If the name is unknown, the root does not exist, or the files are not those of
            the data set.
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}{hint}")
    if not root.exists():
        raise UserError(f"the root {root} of {name} does not exist; check data.root or --root")
    return DATASETS[name].read(root)


def labelled_splits(dataset: Dataset) -> tuple[LabelledSplit, LabelledSplit]:
    """Return query and gallery of a data set.

    Raises:
        UserError: If the data set has no labelled splits.
    """
    if dataset.query is None or dataset.gallery is None:
        raise UserError(
            f"{dataset.root} has no query and gallery, so nothing can be evaluated; "
            "give a labelled data set, or a manifest with a split column"
        )
    return dataset.query, dataset.gallery


def training_images(dataset: Dataset) -> tuple[Image, ...]:
    """Return the training images of a data set.

    Raises:
        UserError: If it has none.
    """
    if not dataset.train:
        raise UserError(
            f"{dataset.root} has no training images, so nothing can be trained on it; add them "
            "(in a manifest: rows of split train), or give another data set"
        )
    return dataset.train

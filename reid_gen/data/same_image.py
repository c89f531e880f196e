"""Where a query and an image of a gallery are one image, which a query must not find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from reid_gen.data.feature_files import Features
from reid_gen.files import content_digest
from reid_gen.types import UNKNOWN, LabelledSplit


def same_names(query: Sequence[str], gallery: Sequence[str]) -> sparse.csr_matrix:
    """Where names are equal, [Q, G] of booleans."""
    names, place = np.unique([*query, *gallery], return_inverse=True)
    cells = (np.ones(len(place), np.int32), (np.arange(len(place)), place))
    named = sparse.csr_matrix(cells, shape=(len(place), len(names)))
    return (named[: len(query)] @ named[len(query) :].T).astype(bool).tocsr()


def same_files(query: Sequence[Path], gallery: Sequence[Path]) -> sparse.csr_matrix:
    """Where files are equal byte by byte: one file, a link to it or a copy, [Q, G] of booleans.

    Raises:
        UserError: If a file cannot be read.
    """
    sizes = [path.stat().st_size for path in (*query, *gallery)]
    shared = set(sizes[: len(query)]) & set(sizes[len(query) :])
    names = [
        content_digest(path) if size in shared else str(number)
        for number, (path, size) in enumerate(zip((*query, *gallery), sizes, strict=True))
    ]
    return same_names(names[: len(query)], names[len(query) :])


def same_in_splits(query: LabelledSplit, gallery: LabelledSplit) -> sparse.csr_matrix | None:
    """The same of labelled images; None if all cameras are known.

    An image has one camera, and the protocol leaves its own out of the gallery by it.

    Raises:
        UserError: If a file cannot be read.
    """
    if all((split.camids != UNKNOWN).all() for split in (query, gallery)):
        return None
    return same_files(*([image.path for image in split.images] for split in (query, gallery)))


def same_rows(query: Features, gallery: Features) -> sparse.csr_matrix:
    """Where rows of two files are of one image, [Q, G] of booleans.

    Paths say so, or keys where a file has no paths; rows of one file without keys are themselves.
    """
    if query.paths is not None and gallery.paths is not None:
        paths = ([str(Path(p).resolve()) for p in some] for some in (query.paths, gallery.paths))
        return same_names(*paths)
    if query.names is not None and gallery.names is not None:
        return same_names(query.names.tolist(), gallery.names.tolist())
    if query.source.samefile(gallery.source):
        return sparse.eye_array(len(query.features), dtype=bool, format="csr")
    return no_matches(len(query.features), len(gallery.features))


def no_matches(queries: int, gallery: int) -> sparse.csr_matrix:
    """Where no query is an image of the gallery, [Q, G] of booleans."""
    return sparse.csr_matrix((queries, gallery), dtype=bool)

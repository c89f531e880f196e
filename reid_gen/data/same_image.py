"""Detection of gallery images that are the query image itself and must not be ranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from reid_gen.data.feature_files import Features
from reid_gen.files import content_digest
from reid_gen.types import UNKNOWN, LabelledSplit


def same_names(query: Sequence[str], gallery: Sequence[str]) -> sparse.csr_matrix:
    """Mask of pairs with equal names, [Q, G] bool."""
    names, name_index = np.unique([*query, *gallery], return_inverse=True)
    rows = np.arange(len(name_index))
    one_hot = sparse.csr_matrix(
        (np.ones(len(rows), np.int32), (rows, name_index)), shape=(len(rows), len(names))
    )
    return (one_hot[: len(query)] @ one_hot[len(query) :].T).astype(bool).tocsr()


def same_files(query: Sequence[Path], gallery: Sequence[Path]) -> sparse.csr_matrix:
    """Mask of pairs with identical file contents (same file, link or copy), [Q, G] bool.

    Raises:
        UserError: If a file cannot be read.
    """
    paths = (*query, *gallery)
    sizes = [path.stat().st_size for path in paths]
    common_sizes = set(sizes[: len(query)]) & set(sizes[len(query) :])
    names = [
        content_digest(path) if size in common_sizes else str(row)
        for row, (path, size) in enumerate(zip(paths, sizes, strict=True))
    ]
    return same_names(names[: len(query)], names[len(query) :])


def same_in_splits(query: LabelledSplit, gallery: LabelledSplit) -> sparse.csr_matrix | None:
    """Mask of pairs that are the same image, [Q, G] bool; None if all cameras are known.

    With known cameras the protocol removes gallery images of the query's person and camera, which
    includes the query image itself.

    Raises:
        UserError: If a file cannot be read.
    """
    if all((split.camids != UNKNOWN).all() for split in (query, gallery)):
        return None
    return same_files(*([image.path for image in split.images] for split in (query, gallery)))


def same_rows(query: Features, gallery: Features) -> sparse.csr_matrix:
    """Mask of rows of two feature files that are of the same image, [Q, G] bool.

    Rows are compared by path; by key if a file has no paths; by row number if query and gallery
    are the same file without keys.
    """
    if query.paths is not None and gallery.paths is not None:
        query_paths, gallery_paths = (
            [str(Path(path).resolve()) for path in paths] for paths in (query.paths, gallery.paths)
        )
        return same_names(query_paths, gallery_paths)
    if query.names is not None and gallery.names is not None:
        return same_names(query.names.tolist(), gallery.names.tolist())
    if query.source.samefile(gallery.source):
        return sparse.eye_array(len(query.features), dtype=bool, format="csr")
    return no_matches(len(query.features), len(gallery.features))


def no_matches(queries: int, gallery: int) -> sparse.csr_matrix:
    """Mask without any pair, [Q, G] bool."""
    return sparse.csr_matrix((queries, gallery), dtype=bool)

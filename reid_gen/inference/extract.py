"""Extraction of the features of image files, and their storage as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.feature_files import FEATURE, KEY, PATH
from reid_gen.data.find_images import readable_name
from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.tables import write_table
from reid_gen.runtime.progress import Advance, Progress
from reid_gen.types import Float32Array, Image

if TYPE_CHECKING:
    from reid_gen.models.encoder import EncoderCard, FeatureExtractor


@dataclass(frozen=True)
class FeatureTable:
    """Features of images.

    Attributes:
        images: The N images that decode, in input order.
        features: L2-normalised features, [N, D] float32.
        unreadable: Paths of the images that do not decode.
    """

    images: tuple[Image, ...]
    features: Float32Array
    unreadable: tuple[Path, ...]


def extract(
    encode: FeatureExtractor,
    card: EncoderCard,
    images: tuple[Image, ...],
    *,
    batch: int,
    workers: int,
    flip: bool,
    skip_unreadable: bool,
    progress: Progress,
) -> FeatureTable:
    """Extract the features of images.

    Args:
        encode: Encoder of a run or of an exported file.
        card: Encoder card, which holds the input size.
        images: Images to encode.
        batch: Number of images per forward pass.
        workers: Number of decoding threads.
        flip: Whether to average each feature with the feature of the mirrored image.
        skip_unreadable: Whether to skip and report images that do not decode, instead of failing.
        progress: Progress display.

    Returns:
        Features of the images that decode.

    Raises:
        UserError: If an image does not decode and ``skip_unreadable`` is false, or if none decodes.
    """
    with progress.task("extract", len(images)) as advance:
        table, failures = encode_images(
            encode, card, images, batch=batch, workers=workers, flip=flip, advance=advance
        )
    if failures and not (skip_unreadable and table.images):
        raise unreadable_error(list(failures))
    return table


def encode_images(
    encode: FeatureExtractor,
    card: EncoderCard,
    images: Sequence[Image],
    *,
    batch: int,
    workers: int,
    flip: bool,
    advance: Advance | None = None,
) -> tuple[FeatureTable, tuple[UnreadableImage, ...]]:
    """Encode images as :func:`extract` does, and return those that do not decode as well."""
    # Imported here, because commands list images before they load torch.
    from reid_gen.evaluation.features import extract_features

    loader = ImageLoader(images, card.height, card.width, workers)
    extracted = extract_features(encode, loader, batch=batch, flip=flip, advance=advance)
    failed = {failure.path for failure in extracted.failures}
    readable = np.array([image.path not in failed for image in images])
    table = FeatureTable(
        images=tuple(image for image, decodes in zip(images, readable, strict=True) if decodes),
        features=extracted.features[readable],
        unreadable=tuple(image.path for image in images if image.path in failed),
    )
    return table, extracted.failures


def feature_columns(table: FeatureTable) -> dict[str, NDArray[Any]]:
    """Return the columns key, path and feature (float32, L2-normalised) of a table."""
    return {
        KEY: np.array([image.key for image in table.images], dtype=str),
        PATH: np.array([readable_name(image.path) for image in table.images], dtype=str),
        FEATURE: table.features,
    }


def save_features(table: FeatureTable, target: Path) -> None:
    """Write the columns of a feature table; see :func:`feature_columns`.

    The file extension selects the format.

    Raises:
        UserError: If the file cannot be written.
    """
    write_table(feature_columns(table), target)

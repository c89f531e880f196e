"""Features of any images into a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reid_gen.data.feature_files import FEATURE, KEY, PATH
from reid_gen.data.find_images import readable_name
from reid_gen.data.images import unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.tables import write_table
from reid_gen.runtime.progress import Progress
from reid_gen.types import Float32Array, Image

if TYPE_CHECKING:
    from reid_gen.models.encoder import EncoderCard, FeatureExtractor


@dataclass(frozen=True)
class FeatureTable:
    """Features by image.

    Attributes:
        images: Those that decoded, N of them, in the order asked for.
        features: Unit rows, [N, D] float32.
        unreadable: Paths of those that did not decode.
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
    """FeatureExtractor images.

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
    # Here, because commands find images before they load torch.
    from reid_gen.evaluation.features import extract_features

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
        PATH: np.array([readable_name(image.path) for image in table.images]),
        FEATURE: table.features,
    }
    write_table(columns, target)

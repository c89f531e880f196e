"""``reid-gen extract`` in blocks: the job, and the feature table that its blocks make up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from reid_gen.choices import Precision
from reid_gen.data.feature_files import FEATURE, KEY, PATH
from reid_gen.data.find_images import readable_name
from reid_gen.data.images import UnreadableImage, unreadable_error
from reid_gen.distributed.blocks import Block
from reid_gen.distributed.job import Job, digest_texts, split_rows
from reid_gen.files import content_digest
from reid_gen.inference.exported_model import is_exported
from reid_gen.inference.extract import FeatureTable, encode_images, feature_columns
from reid_gen.inference.reid_model import open_encoder
from reid_gen.models.checkpoint import find_checkpoint, read_card
from reid_gen.types import Image

COMMAND = "extract"
BLOCK_SIZE = 4096
"""Most images of a block, rounded down to whole batches."""
MIN_BLOCKS = 64
"""Blocks that a short list of images is divided into, so that every actor has some."""


class FeatureWorker:
    """Extracts the features of blocks.

    Args:
        model: Run folder, checkpoint or ``.onnx`` file.
        precision: Compute precision of a run or checkpoint.
        batch: Images per forward pass.
        workers: Decoding threads.
        flip: Whether to average each feature with that of the mirrored image.

    Raises:
        UserError: If the model cannot be loaded.
    """

    def __init__(
        self, model: Path, precision: Precision, *, batch: int, workers: int, flip: bool
    ) -> None:
        self.encode, self.card = open_encoder(model, precision)
        self.batch = batch
        self.workers = workers
        self.flip = flip

    def __call__(self, number: int, images: Sequence[Image]) -> Block:
        """Encode the images of a block; those that do not decode are reported in it."""
        table, failures = encode_images(
            self.encode, self.card, images, batch=self.batch, workers=self.workers, flip=self.flip
        )
        return Block(feature_columns(table), failures)


def extract_job(
    images: Sequence[Image],
    model: Path,
    precision: Precision,
    *,
    batch: int,
    workers: int,
    flip: bool,
) -> Job:
    """Describe the extraction of features as a job.

    Blocks are whole batches, so that an image shares its forward pass with the same images as
    without blocks, and has the same feature.

    Raises:
        UserError: If the model is missing, damaged or no encoder.
    """
    digest = (
        content_digest(model) if is_exported(model) else read_card(find_checkpoint(model))["sha256"]
    )
    size = min(BLOCK_SIZE, len(images) // MIN_BLOCKS)
    return Job(
        command=COMMAND,
        images=images,
        images_sha256=digest_texts(f"{i.key}\0{readable_name(i.path)}" for i in images),
        blocks=split_rows(len(images), batch * max(1, size // batch)),
        facts={
            "settings": {"batch": batch, "precision": precision, "flip": flip},
            "model_sha256": digest,
        },
        open_worker=partial(
            FeatureWorker, model, precision, batch=batch, workers=workers, flip=flip
        ),
    )


def join_features(blocks: Iterable[Block]) -> FeatureTable:
    """Join all blocks of an extraction, in order.

    Raises:
        UserError: If no image decodes.
    """
    parts = list(blocks)
    failures: list[UnreadableImage] = [failure for part in parts for failure in part.unreadable]
    keys, paths, features = (
        np.concatenate([part.columns[name] for part in parts]) for name in (KEY, PATH, FEATURE)
    )
    if not len(keys):
        raise unreadable_error(failures)
    return FeatureTable(
        images=tuple(
            Image(str(key), Path(str(path))) for key, path in zip(keys, paths, strict=True)
        ),
        features=features,
        unreadable=tuple(failure.path for failure in failures),
    )

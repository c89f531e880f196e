"""From settings to pose pre-training."""

from __future__ import annotations

import numpy as np
import torch

from reid_gen.builders.loaders import MakeLoader
from reid_gen.config import schema, stages
from reid_gen.data.batch_sampler import BatchSampler
from reid_gen.data.positive_groups import load_groups
from reid_gen.data.transforms import Augmentation
from reid_gen.errors import UserError
from reid_gen.models.backbone import RGB, feature_map_shape
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.models.pose import PatchReconstructionHead, PoseHead, PoseHeads
from reid_gen.training.pose_pretraining import Pretraining
from reid_gen.training.step import TrainableNetwork
from reid_gen.types import Image, Int64Array


def build_pretraining(
    config: schema.Config,
    settings: stages.Pose,
    make_loader: MakeLoader,
    encoder: IdentityEncoder,
    fill: RGB,
) -> tuple[Pretraining, TrainableNetwork]:
    """Build pose pre-training, and its heads with their optimiser.

    Args:
        config: Settings of the run.
        settings: Settings of pose pre-training.
        make_loader: Builds loaders.
        encoder: Identity encoder, on its device.
        fill: Colour of erased and padded pixels, in 0..1.

    Raises:
        UserError: If the groups cannot be read, a group has a single member, or the encoder's
            feature map does not divide images into equal patches.
    """
    groups = load_groups(settings.groups)
    images = tuple(Image(member.file, groups.folder / member.file) for member in groups.members)
    group_labels = _group_labels([member.group for member in groups.members], str(groups.folder))
    height, width = config.data.height, config.data.width
    device = next(encoder.parameters()).device
    _, rows, columns = feature_map_shape(encoder.backbone, height, width)
    if height % rows or width % columns:
        raise UserError(
            f"the encoder's feature map of {rows} x {columns} positions does not divide images of "
            f"{height} x {width} pixels into equal patches; set data.height and data.width to "
            "multiples of 32"
        )
    heads = PoseHeads(
        PoseHead(encoder.channels, settings.hidden, settings.size),
        PatchReconstructionHead(encoder.channels, (height // rows, width // columns)),
    ).to(device)
    pretraining = Pretraining(
        sampler=BatchSampler(
            loader=make_loader(images),
            batch=settings.batch,
            instances=settings.instances,
        ),
        groups=group_labels,
        heads=heads,
        augmentation=Augmentation(0.0, config.augment.pad, config.augment.erase, fill),
        weights=settings.weights.model_dump(),
        temperature=settings.temperature,
        align_temperature=settings.align_temperature,
        mask=settings.mask,
    )
    return pretraining, TrainableNetwork(heads, torch.optim.Adam(heads.parameters(), fused=True))


def _group_labels(names: list[str], source: str) -> Int64Array:
    """Number the groups of images from 0, in alphabetical order: names [N] -> labels [N]."""
    group_names, labels, counts = np.unique(names, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise UserError(
            f"group '{group_names[counts.argmin()]}' of {source} has one member and therefore no "
            "positive pair; generate groups with --members 2 or more"
        )
    return labels.astype(np.int64)

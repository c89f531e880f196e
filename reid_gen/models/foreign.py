"""Encoders that other toolboxes trained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reid_gen.errors import UserError, join_some
from reid_gen.models.backbone import HALF, IMAGENET_MEAN, IMAGENET_STD
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.layouts import STATE_DICT_LAYOUTS, StateDictLayout, Tensors
from reid_gen.models.weights import load_strictly, read_weights

INPUT_STATISTICS = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "half": (HALF, HALF)}
"""Mean and standard deviation of the input's colours."""
HEIGHT, WIDTH = 256, 128
"""Of the images that most were trained on."""


@dataclass(frozen=True)
class ImportedEncoder:
    """An encoder, and where it comes from.

    Attributes:
        encoder: In evaluation mode.
        card: Its architecture.
        layout: Name of the toolbox.
        loaded: Number of tensors that were read.
        dropped: Names of those that were not needed.
    """

    encoder: IdentityEncoder
    card: EncoderCard
    layout: str
    loaded: int
    dropped: tuple[str, ...]


def import_encoder(
    path: Path, height: int | None = None, width: int | None = None, colours: str | None = None
) -> ImportedEncoder:
    """Read an encoder of another toolbox; every name and shape must have its place.

    Args:
        path: Its checkpoint.
        height: Rows of the images that it was trained on; None is 256.
        width: Columns of these; None is 128.
        colours: A key of ``COLOURS``: how images were normalised, if not as the backbone's public
            weights want it.

    Raises:
        UserError: If the file is no such checkpoint, or holds weights that have no place.
    """
    tensors = read_weights(path)
    layout = _layout_of(tensors, path)
    ours: dict[str, Tensor] = {}
    dropped, strange = [], []
    for name, value in tensors.items():
        new = _renamed(name, layout)
        if new is not None:
            ours[new] = value.reshape(1) if new == "pooling.power" else value
        elif any(re.match(pattern, name) for pattern in layout.dropped):
            dropped.append(name)
        else:
            strange.append(name)
    if strange:
        raise UserError(
            f"{path} looks like {layout.name}, but {len(strange)} of its weights have no place: "
            f"{join_some(strange)}; networks without extra parts are read"
        )
    backbone = layout.network(ours)
    if backbone is None:
        raise UserError(
            f"{path} looks like {layout.name}, but its network is none of those that are read: "
            "ResNet-18 and -50 (plain or IBN-a), OSNet, ViT-S"
        )
    card = EncoderCard(
        backbone=backbone,
        pooling="gem" if "pooling.power" in ours else layout.pooling,
        height=height or HEIGHT,
        width=width or WIDTH,
        last_stride=layout.last_stride,
        embedding=len(ours["embedding.bias"]) if "embedding.bias" in ours else None,
        rectified=layout.rectified,
    )
    encoder = create_encoder(card)
    load_strictly(encoder, {**_given(encoder, layout), **ours}, str(path))
    if colours is not None:
        for own, wanted in zip((encoder.mean, encoder.std), INPUT_STATISTICS[colours], strict=True):
            own.copy_(torch.tensor(wanted).view_as(own))
    return ImportedEncoder(encoder.eval(), card, layout.name, len(ours), tuple(dropped))


def _layout_of(tensors: Tensors, path: Path) -> StateDictLayout:
    for layout in STATE_DICT_LAYOUTS:
        if all(mark in tensors for mark in layout.marks):
            return layout
    known = "; ".join(dict.fromkeys(layout.name for layout in STATE_DICT_LAYOUTS))
    raise UserError(
        f"{path} is of no toolbox that is known ({known}); its first weights are "
        f"{join_some(list(tensors))}"
    )


def _renamed(name: str, layout: StateDictLayout) -> str | None:
    for pattern, new in layout.renamed.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", new, name)
    return None


def _given(encoder: IdentityEncoder, layout: StateDictLayout) -> dict[str, Tensor]:
    """What the file need not have: the colours of the input, and a neck that changes nothing."""
    own = encoder.state_dict()
    prefixes = ("mean", "std") if layout.neck else ("mean", "std", "neck.")
    return {name: torch.clone(own[name]) for name in own if name.startswith(prefixes)}

"""Import of encoders that were trained with other toolboxes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reid_gen.errors import UserError, join_some
from reid_gen.models.backbone import (
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
)
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.layouts import STATE_DICT_LAYOUTS, StateDictLayout, Tensors
from reid_gen.models.weights import load_strictly, read_weights

INPUT_STATISTICS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD),
}
"""Name of an input normalisation -> mean and standard deviation of the RGB channels."""
HEIGHT, WIDTH = 256, 128
"""Default input size in pixels, which most toolboxes train with."""


@dataclass(frozen=True)
class ImportedEncoder:
    """An imported encoder and its origin.

    Attributes:
        encoder: The encoder, in evaluation mode.
        card: Its architecture and input size.
        layout: Name of the toolbox that wrote the checkpoint.
        loaded: Number of tensors that were loaded.
        dropped: Names of tensors that the encoder does not need.
    """

    encoder: IdentityEncoder
    card: EncoderCard
    layout: str
    loaded: int
    dropped: tuple[str, ...]


def import_encoder(
    path: Path, height: int | None = None, width: int | None = None, colours: str | None = None
) -> ImportedEncoder:
    """Import a checkpoint of another toolbox; all its names and shapes must match the encoder.

    Args:
        path: The checkpoint.
        height: Input height in pixels that it was trained with; None is 256.
        width: Input width in pixels that it was trained with; None is 128.
        colours: Input normalisation, a key of ``INPUT_STATISTICS``; None is that of the backbone's
            public weights.

    Raises:
        UserError: If the file is not a checkpoint of a supported toolbox and network, or has
            weights that the encoder does not have.
    """
    tensors = read_weights(path)
    layout = _layout_of(tensors, path)
    renamed: dict[str, Tensor] = {}
    dropped, unexpected = [], []
    for name, value in tensors.items():
        new_name = _rename(name, layout)
        if new_name is not None:
            renamed[new_name] = value.reshape(1) if new_name == "pooling.power" else value
        elif any(re.match(pattern, name) for pattern in layout.dropped):
            dropped.append(name)
        else:
            unexpected.append(name)
    if unexpected:
        raise UserError(
            f"{path} looks like {layout.name}, but {len(unexpected)} of its weights are "
            f"unexpected: {join_some(unexpected)}; only networks without additional parts can be "
            "imported"
        )
    backbone = layout.network(renamed)
    if backbone is None:
        raise UserError(
            f"{path} looks like {layout.name}, but its network is none of the supported ones: "
            "ResNet-18 and -50 (plain or IBN-a), OSNet, ViT-S"
        )
    card = EncoderCard(
        backbone=backbone,
        pooling="gem" if "pooling.power" in renamed else layout.pooling,
        height=height or HEIGHT,
        width=width or WIDTH,
        last_stride=layout.last_stride,
        embedding=len(renamed["embedding.bias"]) if "embedding.bias" in renamed else None,
        rectified=layout.rectified,
    )
    encoder = create_encoder(card)
    load_strictly(encoder, {**_default_tensors(encoder, layout), **renamed}, str(path))
    if colours is not None:
        buffers = (encoder.mean, encoder.std)
        for buffer, values in zip(buffers, INPUT_STATISTICS[colours], strict=True):
            buffer.copy_(torch.tensor(values).view_as(buffer))
    return ImportedEncoder(encoder.eval(), card, layout.name, len(renamed), tuple(dropped))


def _layout_of(tensors: Tensors, path: Path) -> StateDictLayout:
    for layout in STATE_DICT_LAYOUTS:
        if all(mark in tensors for mark in layout.marks):
            return layout
    known = "; ".join(dict.fromkeys(layout.name for layout in STATE_DICT_LAYOUTS))
    raise UserError(
        f"{path} is not a checkpoint of a supported toolbox ({known}); its first weights are "
        f"{join_some(list(tensors))}"
    )


def _rename(name: str, layout: StateDictLayout) -> str | None:
    for pattern, new in layout.renamed.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", new, name)
    return None


def _default_tensors(encoder: IdentityEncoder, layout: StateDictLayout) -> dict[str, Tensor]:
    """Initial values of tensors that the file lacks: input statistics and an untrained neck."""
    initial = encoder.state_dict()
    prefixes = ("mean", "std") if layout.neck else ("mean", "std", "neck.")
    return {name: torch.clone(initial[name]) for name in initial if name.startswith(prefixes)}

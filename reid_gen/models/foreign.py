"""Encoders that other toolboxes trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reid_gen.errors import UserError, name_some
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.weights import load_strictly, read_weights

NETWORKS = {(2, False): "resnet18", (6, True): "resnet50"}
"""Blocks of the third stage, and whether they have a third convolution -> network."""


@dataclass(frozen=True)
class Layout:
    """How a toolbox names the weights of a residual network.

    Attributes:
        name: Of the toolbox.
        marks: Names that its files have, and no other's.
        renamed: Pattern -> our name; the first that fits counts.
        dropped: Patterns of what is not needed: classifiers, colours of the input.
        last_stride: Of the last stage, which no weight tells.
        neck: Whether it has a batch norm after pooling; ours then stays as it begins, and changes
            nothing.
    """

    name: str
    marks: tuple[str, ...]
    renamed: Mapping[str, str]
    dropped: tuple[str, ...]
    last_stride: int = 1
    neck: bool = True


TRUNK = r"(conv1|bn1|layer[1-4])\."
STAGES = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
LAYOUTS = (
    Layout(
        "fast-reid",
        ("backbone.conv1.weight", "heads.bottleneck.0.weight"),
        {
            rf"backbone\.{TRUNK}": r"backbone.\1.",
            r"heads\.bottleneck\.0\.": "neck.",
            r"heads\.pool_layer\.p$": "pooling.power",
        },
        (r"heads\.(weight|classifier|cls_layer)", r"pixel_(mean|std)$"),
    ),
    Layout(
        "SpCL, Cluster Contrast or OpenUnReID",
        ("base.0.weight", "feat_bn.weight"),
        {
            **{rf"base\.{place}\.": f"backbone.{part}." for place, part in STAGES.items()},
            r"feat_bn\.": "neck.",
            r"feat\.": "embedding.",
            r"gap\.p$": "pooling.power",
        },
        (r"classifier\.",),
    ),
    Layout(
        "TransReID-SSL or the strong baseline",
        ("base.conv1.weight", "bottleneck.weight"),
        {rf"base\.{TRUNK}": r"backbone.\1.", r"bottleneck\.": "neck."},
        (r"classifier\.",),
    ),
    Layout(
        "torchreid",
        ("conv1.weight", "layer4.0.conv1.weight", "classifier.weight"),
        {TRUNK: r"backbone.\1."},
        (r"classifier\.",),
        last_stride=2,
        neck=False,
    ),
)


@dataclass(frozen=True)
class Imported:
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


def import_encoder(path: Path, height: int = 256, width: int = 128) -> Imported:
    """Read an encoder of another toolbox; every name and shape must have its place.

    Args:
        path: Its checkpoint.
        height: Rows of the images that it was trained on.
        width: Columns of these.

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
            f"{name_some(strange)}; residual networks without extra parts are read"
        )
    card = EncoderCard(
        backbone=_network(ours, path),
        pooling="gem" if "pooling.power" in ours else "avg",
        height=height,
        width=width,
        last_stride=layout.last_stride,
        embedding=len(ours["embedding.bias"]) if "embedding.bias" in ours else None,
    )
    encoder = create_encoder(card)
    load_strictly(encoder, {**_given(encoder, layout), **ours}, str(path))
    return Imported(encoder.eval(), card, layout.name, len(ours), tuple(dropped))


def _layout_of(tensors: Mapping[str, Tensor], path: Path) -> Layout:
    for layout in LAYOUTS:
        if all(mark in tensors for mark in layout.marks):
            return layout
    known = "; ".join(layout.name for layout in LAYOUTS)
    raise UserError(
        f"{path} is of no toolbox that is known ({known}); its first weights are "
        f"{name_some(list(tensors))}"
    )


def _renamed(name: str, layout: Layout) -> str | None:
    for pattern, new in layout.renamed.items():
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", new, name)
    return None


def _network(tensors: Mapping[str, Tensor], path: Path) -> str:
    blocks = {name.split(".")[2] for name in tensors if name.startswith("backbone.layer3.")}
    found = NETWORKS.get((len(blocks), "backbone.layer1.0.conv3.weight" in tensors))
    if found is None:
        raise UserError(
            f"{path} has {len(blocks)} blocks in the third stage; ResNet-18 and ResNet-50 are read"
        )
    return found


def _given(encoder: IdentityEncoder, layout: Layout) -> dict[str, Tensor]:
    """What the file need not have: the colours of the input, and a neck that changes nothing."""
    own = encoder.state_dict()
    prefixes = ("mean", "std") if layout.neck else ("mean", "std", "neck.")
    return {name: torch.clone(own[name]) for name in own if name.startswith(prefixes)}

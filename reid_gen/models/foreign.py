"""Encoders that other toolboxes trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from reid_gen.errors import UserError, name_some
from reid_gen.models.backbone import HALF, IMAGENET_MEAN, IMAGENET_STD
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.models.weights import load_strictly, read_weights

Tensors = Mapping[str, Tensor]
RESNETS = {(2, False): "resnet18", (6, True): "resnet50"}
"""Blocks of the third stage, and whether they have a third convolution -> network."""
OSNETS = {64: "osnet_x1_0", 48: "osnet_x0_75", 32: "osnet_x0_5", 16: "osnet_x0_25"}
"""Channels of the stem -> network."""
COLOURS = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "half": (HALF, HALF)}
"""Mean and standard deviation of the input's colours."""
SMALL = 384
"""Width of ViT-S."""


@dataclass(frozen=True)
class Layout:
    """How a toolbox names the weights of a network.

    Attributes:
        name: Of the toolbox.
        marks: Names that its files have, and no other's.
        network: Finds the backbone by its weights, renamed; None if it is none of ours.
        renamed: Pattern -> our name; the first that fits counts.
        dropped: Patterns of what is not needed: classifiers, colours of the input.
        pooling: Unless there is a power of a generalised mean.
        last_stride: Of the last stage, which no weight tells.
        neck: Whether it has a batch norm after pooling; ours then stays as it begins, and changes
            nothing.
        rectified: Whether negative values of features are cut off.
    """

    name: str
    marks: tuple[str, ...]
    network: Callable[[Tensors], str | None]
    renamed: Mapping[str, str]
    dropped: tuple[str, ...]
    pooling: str = "avg"
    last_stride: int | None = 1
    neck: bool = True
    rectified: bool = False


def _resnet(tensors: Tensors) -> str | None:
    blocks = {name.split(".")[2] for name in tensors if name.startswith("backbone.layer3.")}
    return RESNETS.get((len(blocks), "backbone.layer1.0.conv3.weight" in tensors))


def _osnet(tensors: Tensors) -> str | None:
    return OSNETS.get(len(tensors["backbone.conv1.conv.weight"]))


def _vit(tensors: Tensors, small: str = "vit_small_patch16_224") -> str | None:
    return small if tensors["backbone.network.cls_token"].shape[2] == SMALL else None


TRUNK = r"(conv1|bn1|layer[1-4])\."
STAGES = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
CLASSIFIER = (r"classifier\.",)
VIT = Layout(
    "TransReID-SSL (ViT)",
    ("cls_token",),
    _vit,
    {
        r"(?:base\.)?(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)": r"backbone.network.\1",
        r"bottleneck\.": "neck.",
    },
    CLASSIFIER,
    pooling="token",
    last_stride=None,
)
VIT_WITH_STEM = replace(
    VIT,
    marks=("patch_embed.conv.0.weight",),
    network=partial(_vit, small="vit_small_ics"),
    renamed={r"(?:base\.)?patch_embed\.": "backbone.network.patch_embed.proj.", **VIT.renamed},
)
LAYOUTS = (
    Layout(
        "fast-reid",
        ("backbone.conv1.weight", "heads.bottleneck.0.weight"),
        _resnet,
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
        _resnet,
        {
            **{rf"base\.{place}\.": f"backbone.{part}." for place, part in STAGES.items()},
            r"feat_bn\.": "neck.",
            r"feat\.": "embedding.",
            r"gap\.p$": "pooling.power",
        },
        CLASSIFIER,
    ),
    Layout(
        "TransReID-SSL or the strong baseline",
        ("base.conv1.weight", "bottleneck.weight"),
        _resnet,
        {rf"base\.{TRUNK}": r"backbone.\1.", r"bottleneck\.": "neck."},
        CLASSIFIER,
    ),
    *(
        replace(layout, marks=tuple(f"{base}{mark}" for mark in layout.marks))
        for layout in (VIT_WITH_STEM, VIT)
        for base in ("", "base.")
    ),
    Layout(
        "GCL or JVTC",
        ("conv1.weight", "feat.weight", "feat_bn.weight"),
        _resnet,
        {TRUNK: r"backbone.\1.", r"feat\.": "embedding.", r"feat_bn\.": "neck."},
        CLASSIFIER,
    ),
    Layout(
        "torchreid",
        ("conv1.weight", "layer4.0.conv1.weight", "classifier.weight"),
        _resnet,
        {TRUNK: r"backbone.\1."},
        CLASSIFIER,
        last_stride=2,
        neck=False,
    ),
    Layout(
        "torchreid (OSNet)",
        ("conv2.0.conv2a.conv1.weight", "fc.0.weight"),
        _osnet,
        {r"(conv[1-5])\.": r"backbone.\1.", r"fc\.0\.": "embedding.", r"fc\.1\.": "neck."},
        CLASSIFIER,
        rectified=True,
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


def import_encoder(
    path: Path, height: int = 256, width: int = 128, colours: str | None = None
) -> Imported:
    """Read an encoder of another toolbox; every name and shape must have its place.

    Args:
        path: Its checkpoint.
        height: Rows of the images that it was trained on.
        width: Columns of these.
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
            f"{name_some(strange)}; networks without extra parts are read"
        )
    backbone = layout.network(ours)
    if backbone is None:
        raise UserError(
            f"{path} looks like {layout.name}, but its network is none of those that are read: "
            "ResNet-18 and -50, OSNet, ViT-S"
        )
    card = EncoderCard(
        backbone=backbone,
        pooling="gem" if "pooling.power" in ours else layout.pooling,
        height=height,
        width=width,
        last_stride=layout.last_stride,
        embedding=len(ours["embedding.bias"]) if "embedding.bias" in ours else None,
        rectified=layout.rectified,
    )
    encoder = create_encoder(card)
    load_strictly(encoder, {**_given(encoder, layout), **ours}, str(path))
    if colours is not None:
        for own, wanted in zip((encoder.mean, encoder.std), COLOURS[colours], strict=True):
            own.copy_(torch.tensor(wanted).view_as(own))
    return Imported(encoder.eval(), card, layout.name, len(ours), tuple(dropped))


def _layout_of(tensors: Tensors, path: Path) -> Layout:
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


def _given(encoder: IdentityEncoder, layout: Layout) -> dict[str, Tensor]:
    """What the file need not have: the colours of the input, and a neck that changes nothing."""
    own = encoder.state_dict()
    prefixes = ("mean", "std") if layout.neck else ("mean", "std", "neck.")
    return {name: torch.clone(own[name]) for name in own if name.startswith(prefixes)}

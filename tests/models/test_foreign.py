"""Import of re-ID checkpoints with the weight names and shapes of other toolboxes."""

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.foreign import INPUT_STATISTICS, import_encoder
from reid_gen.models.transformers import convolutional_stem
from tests.cli.conftest import failure

pytestmark = pytest.mark.slow

MODULE_INDEX = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def trunk(network=resnet18):
    torch.manual_seed(0)
    state = network().state_dict()
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def norm(prefix, size=512):
    return {
        f"{prefix}weight": torch.rand(size) + 0.5, f"{prefix}bias": torch.zeros(size),
        f"{prefix}running_mean": torch.rand(size), f"{prefix}running_var": torch.rand(size) + 0.5,
        f"{prefix}num_batches_tracked": torch.tensor(3),
    }  # fmt: skip


def fast_reid(gem_pooling):
    state = {f"backbone.{name}": value for name, value in trunk().items()}
    state |= norm("heads.bottleneck.0.") | {"heads.weight": torch.rand(751, 512)}
    state |= {"pixel_mean": torch.rand(1, 3, 1, 1), "pixel_std": torch.rand(1, 3, 1, 1)}
    return {"model": state | ({"heads.pool_layer.p": torch.tensor([3.5])} if gem_pooling else {})}


def cluster_contrast(gem_pooling):
    state = {}
    for name, value in trunk().items():
        part, rest = name.split(".", 1)
        state[f"module.base.{MODULE_INDEX[part]}.{rest}"] = value
    state |= {f"module.{name}": value for name, value in norm("feat_bn.").items()}
    gem = {"module.gap.p": torch.tensor([3.5])} if gem_pooling else {}
    # SpCL and Cluster Contrast save the mAP as a NumPy scalar.
    return {"state_dict": state | gem, "epoch": 50, "best_mAP": np.mean([0.7, 0.9])}


def strong_baseline(gem_pooling):
    state = {f"base.{name}": value for name, value in trunk().items()}
    return state | norm("bottleneck.") | {"classifier.weight": torch.rand(751, 512)}


def torchreid(gem_pooling):
    return {"state_dict": trunk() | {"classifier.weight": torch.rand(751, 512),
                                     "classifier.bias": torch.rand(751)}}  # fmt: skip


def gcl(gem_pooling):
    state = trunk() | norm("feat_bn.", 64)
    return {"a": state | {"feat.weight": torch.rand(64, 512), "feat.bias": torch.rand(64)}}


CHECKPOINTS = [fast_reid, cluster_contrast, strong_baseline, torchreid, gcl]


def reference_features(state, images, gem_pooling):
    """Features of the network as its toolbox computes them."""
    network = resnet18()
    if "layer4.0.conv1.weight" not in state or "feat.weight" in state:  # torchreid keeps stride 2
        network.layer4[0].conv1.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.load_state_dict(trunk(), strict=False)
    network.eval()
    x = images - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    x = x / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, part)(x)
    x = x.clamp(min=1e-6).pow(3.5).mean((2, 3)).pow(1 / 3.5) if gem_pooling else x.mean((2, 3))
    marks = ("heads.bottleneck.0.", "feat_bn.", "bottleneck.")
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    if "feat.weight" in plain:
        x = x @ plain["feat.weight"].T + plain["feat.bias"]
    neck = {n.rsplit(".", 1)[1]: value for n, value in plain.items() if n.startswith(marks)}
    if neck:
        x = (x - neck["running_mean"]) / (neck["running_var"] + 1e-5).sqrt() * neck["weight"]
    return torch.nn.functional.normalize(x, dim=1)


@pytest.mark.parametrize("make_checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("gem_pooling", [False, True])
def test_import_encoder_reproduces_resnet_features(make_checkpoint, gem_pooling, tmp_path):
    torch.manual_seed(1)
    checkpoint = make_checkpoint(gem_pooling)
    torch.save(checkpoint, tmp_path / "model.pth.tar")
    imported = import_encoder(tmp_path / "model.pth.tar", 64, 32)
    keys = [key for key in ("state_dict", "model", "a") if key in checkpoint]
    state = checkpoint[keys[0]] if keys else checkpoint
    gem_pooling = gem_pooling and make_checkpoint in (fast_reid, cluster_contrast)
    assert imported.card.pooling == ("gem" if gem_pooling else "avg")
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = reference_features(state, images, gem_pooling)
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-5)


def osnet(widths):
    """Make random weights with the names and shapes of torchreid's OSNet."""
    state = {}

    def conv(name, out_channels, in_channels, size=1):
        fan_in = in_channels * size * size
        weight = torch.randn(out_channels, in_channels, size, size)
        state[f"{name}.weight"] = weight / fan_in**0.5

    def conv_bn(name, out_channels, in_channels, size=1):
        conv(f"{name}.conv", out_channels, in_channels, size)
        state.update(norm(f"{name}.bn.", out_channels))

    conv_bn("conv1", widths[0], 3, 7)
    channels = widths[0]
    for stage, width in enumerate(widths[1:], start=2):
        for block in range(2):
            prefix, bottleneck = f"conv{stage}.{block}", width // 4
            conv_bn(f"{prefix}.conv1", bottleneck, channels)
            for depth, stream in enumerate("abcd", start=1):
                for index in range(depth):
                    layer = f"{prefix}.conv2{stream}" + (f".{index}" if depth > 1 else "")
                    conv(f"{layer}.conv1", bottleneck, bottleneck)
                    conv(f"{layer}.conv2", bottleneck, 1, 3)
                    state.update(norm(f"{layer}.bn.", bottleneck))
            reduced = bottleneck // 16
            gate_layers = (("fc1", reduced, bottleneck), ("fc2", bottleneck, reduced))
            for gate, out_channels, in_channels in gate_layers:
                conv(f"{prefix}.gate.{gate}", out_channels, in_channels)
                state[f"{prefix}.gate.{gate}.bias"] = torch.rand(out_channels)
            conv_bn(f"{prefix}.conv3", width, bottleneck)
            if channels != width:
                conv_bn(f"{prefix}.downsample", width, channels)
            channels = width
        if stage < 4:
            conv_bn(f"conv{stage}.2.0", width, width)
    conv_bn("conv5", channels, channels)
    state |= {"fc.0.weight": torch.randn(512, channels), "fc.0.bias": torch.rand(512)}
    return {"state_dict": state | norm("fc.1.") | {"classifier.weight": torch.rand(751, 512)}}


def osnet_feature(state, x):
    """Features of torchreid's OSNet, computed with torch functions only."""

    def bn(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    def conv_bn(x, name, **options):
        return bn(F.conv2d(x, state[f"{name}.conv.weight"], **options), f"{name}.bn")

    def light_conv(x, name):
        x = F.conv2d(x, state[f"{name}.conv1.weight"])
        weight = state[f"{name}.conv2.weight"]
        return bn(F.conv2d(x, weight, padding=1, groups=len(weight)), f"{name}.bn").relu()

    def gate(x, name):
        weight = x.mean((2, 3), keepdim=True)
        for part, activation in (("fc1", torch.relu), ("fc2", torch.sigmoid)):
            layer = f"{name}.gate.{part}"
            weight = activation(F.conv2d(weight, state[f"{layer}.weight"], state[f"{layer}.bias"]))
        return x * weight

    def block(x, name):
        reduced = conv_bn(x, f"{name}.conv1").relu()
        summed = 0
        for depth, stream in enumerate("abcd", start=1):
            y = reduced
            for index in range(depth):
                layer = f"{name}.conv2{stream}" + (f".{index}" if depth > 1 else "")
                y = light_conv(y, layer)
            summed = summed + gate(y, name)
        is_identity = f"{name}.downsample.conv.weight" not in state
        shortcut = x if is_identity else conv_bn(x, f"{name}.downsample")
        return (conv_bn(summed, f"{name}.conv3") + shortcut).relu()

    x = F.max_pool2d(conv_bn(x, "conv1", stride=2, padding=3).relu(), 3, 2, 1)
    for stage in (2, 3, 4):
        x = block(block(x, f"conv{stage}.0"), f"conv{stage}.1")
        if stage < 4:
            x = F.avg_pool2d(conv_bn(x, f"conv{stage}.2.0").relu(), 2)
    x = conv_bn(x, "conv5").relu().mean((2, 3))
    x = bn(x @ state["fc.0.weight"].T + state["fc.0.bias"], "fc.1").relu()
    return F.normalize(x, dim=1)


@pytest.mark.parametrize(
    ("name", "widths"), [("osnet_x1_0", (64, 256, 384, 512)), ("osnet_x0_25", (16, 64, 96, 128))]
)
def test_import_encoder_reproduces_osnet_features(name, widths, tmp_path):
    torch.manual_seed(2)
    checkpoint = osnet(widths)
    torch.save(checkpoint, tmp_path / "osnet.pth.tar")
    imported = import_encoder(tmp_path / "osnet.pth.tar", 64, 32)
    assert imported.card.backbone == name
    images = torch.rand(2, 3, 64, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    expected = osnet_feature(checkpoint["state_dict"], (images - mean) / std)
    with torch.no_grad():
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-5)


def transreid(prefix, stem):
    torch.manual_seed(3)
    network = timm.create_model("vit_small_patch16_224", num_classes=0, img_size=(64, 32)).eval()
    state = {f"{prefix}{name}": value.clone() for name, value in network.state_dict().items()}
    if stem:
        conv = convolutional_stem(384)
        for name, value in conv.state_dict().items():
            state[f"{prefix}patch_embed.{name}"] = value
        network.patch_embed.proj = conv
    extra = {"classifier.weight": torch.rand(751, 384)} if prefix else {}
    return network.eval(), state | norm("bottleneck.", 384) | extra


@pytest.mark.parametrize("prefix", ["", "base."])
@pytest.mark.parametrize("stem", [False, True])
def test_import_encoder_reproduces_vit_features(prefix, stem, tmp_path):
    network, state = transreid(prefix, stem)
    torch.save({"state_dict": {f"module.{n}": v for n, v in state.items()}}, tmp_path / "vit.pth")
    imported = import_encoder(tmp_path / "vit.pth", 64, 32, "imagenet")
    assert imported.card.backbone == ("vit_small_ics" if stem else "vit_small_patch16_224")
    images = torch.rand(2, 3, 64, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    with torch.no_grad():
        token = network.forward_features((images - mean) / std)[:, 0]
        keys = ("running_mean", "running_var", "weight")
        mean, var, weight = (state[f"bottleneck.{key}"] for key in keys)
        expected = F.normalize((token - mean) / (var + 1e-5).sqrt() * weight, dim=1)
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-5)
        output = imported.encoder.encode(images)
    assert output.parts.shape == (2, 384, 4)
    assert output.token is None


def test_convolutional_stem_equals_functional_layers():
    """Reference: 7 x 7 convolution of stride 2, two of 3 x 3, then patches of 8 x 8."""
    torch.manual_seed(4)
    stem = convolutional_stem(16, width=8).eval()
    state = stem.state_dict()
    images = torch.rand(2, 3, 32, 16)
    x = F.conv2d(images, state["conv.0.weight"], stride=2, padding=3)
    for number in (1, 4):
        instance, batch = x.chunk(2, dim=1)
        flat = instance.flatten(2)
        var = flat.var(2, unbiased=False, keepdim=True) + 1e-5
        instance = ((flat - flat.mean(2, keepdim=True)) / var.sqrt()).view_as(instance)
        x = torch.cat([instance, batch / (1 + 1e-5) ** 0.5], 1).relu()
        x = F.conv2d(x, state[f"conv.{number + 2}.weight"], padding=1)
    x = (x / (1 + 1e-5) ** 0.5).relu()
    expected = F.conv2d(x, state["proj.weight"], state["proj.bias"], stride=8)
    torch.testing.assert_close(stem(images), expected, rtol=1e-4, atol=1e-5)


def test_zoo_import_writes_a_checkpoint_folder(tmp_path, capsys):
    torch.save(cluster_contrast(True), tmp_path / "model_best.pth.tar")
    words = ["--out", str(tmp_path / "model"), "--height", "64", "--width", "32"]
    main(["zoo", "import", str(tmp_path / "model_best.pth.tar"), *words])
    assert "Cluster Contrast or OpenUnReID: resnet18, gem pooling" in capsys.readouterr().out
    encoder, card = load_encoder(tmp_path / "model")
    assert card.height == 64
    assert encoder.feature_size == 512


def test_import_encoder_recognises_resnet50(tmp_path):
    state = {f"base.{name}": value for name, value in trunk(resnet50).items()}
    torch.save(state | norm("bottleneck.", 2048), tmp_path / "r50.pth")
    assert import_encoder(tmp_path / "r50.pth").card.backbone == "resnet50"


def test_import_encoder_names_unsupported_checkpoints(tmp_path, capsys):
    torch.save({"vit.weight": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"of a supported toolbox \(fast-reid; SpCL"):
        import_encoder(tmp_path / "x.pth")
    with_extra = strong_baseline(False) | {"extra": torch.zeros(1)}
    torch.save(with_extra, tmp_path / "more.pth")
    message = failure(capsys, "zoo", "import", tmp_path / "more.pth", "--out", tmp_path / "m")
    assert "looks like TransReID-SSL or the strong baseline" in message
    assert "1 of its weights are unexpected: extra" in message
    with_non_local = strong_baseline(False) | {"base.layer1.0.NL.weight": torch.zeros(1)}
    torch.save(with_non_local, tmp_path / "other.pth")
    message = failure(capsys, "zoo", "import", tmp_path / "other.pth", "--out", tmp_path / "m")
    assert "1 unexpected: backbone.layer1.0.NL.weight" in message
    deeper = {
        name.replace("layer3.1.", "layer3.7."): v for name, v in strong_baseline(False).items()
    }
    torch.save(strong_baseline(False) | deeper, tmp_path / "deep.pth")
    message = failure(capsys, "zoo", "import", tmp_path / "deep.pth", "--out", tmp_path / "m")
    assert "its network is none of the supported ones: ResNet-18 and -50 (plain" in message
    assert not (tmp_path / "m").exists()

"""Checkpoints with the names and shapes of other toolboxes."""

import pytest
import torch
from torchvision.models import resnet18, resnet50

from reid_gen.cli.main import main
from reid_gen.engine.checkpoint import load_encoder
from reid_gen.errors import UserError
from reid_gen.models.foreign import import_encoder
from tests.cli.conftest import failure

PLACES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


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


def fast_reid(pooled):
    state = {f"backbone.{name}": value for name, value in trunk().items()}
    state |= norm("heads.bottleneck.0.") | {"heads.weight": torch.rand(751, 512)}
    state |= {"pixel_mean": torch.rand(1, 3, 1, 1), "pixel_std": torch.rand(1, 3, 1, 1)}
    return {"model": state | ({"heads.pool_layer.p": torch.tensor([3.5])} if pooled else {})}


def cluster_contrast(pooled):
    state = {}
    for name, value in trunk().items():
        part, rest = name.split(".", 1)
        state[f"module.base.{PLACES[part]}.{rest}"] = value
    state |= {f"module.{name}": value for name, value in norm("feat_bn.").items()}
    gem = {"module.gap.p": torch.tensor([3.5])} if pooled else {}
    return {"state_dict": state | gem, "epoch": 50, "best_mAP": 0.8}


def strong_baseline(pooled):
    state = {f"base.{name}": value for name, value in trunk().items()}
    return state | norm("bottleneck.") | {"classifier.weight": torch.rand(751, 512)}


def torchreid(pooled):
    return {"state_dict": trunk() | {"classifier.weight": torch.rand(751, 512),
                                     "classifier.bias": torch.rand(751)}}  # fmt: skip


MAKERS = [fast_reid, cluster_contrast, strong_baseline, torchreid]


def expected(state, images, pooled):
    """The network as its toolbox computes it."""
    network = resnet18()
    if "layer4.0.conv1.weight" not in state:  # torchreid alone keeps the stride
        network.layer4[0].conv1.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.load_state_dict(trunk(), strict=False)
    network.eval()
    x = images - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    x = x / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, part)(x)
    x = x.clamp(min=1e-6).pow(3.5).mean((2, 3)).pow(1 / 3.5) if pooled else x.mean((2, 3))
    marks = ("heads.bottleneck.0.", "feat_bn.", "bottleneck.")
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    neck = {n.rsplit(".", 1)[1]: value for n, value in plain.items() if n.startswith(marks)}
    if neck:
        x = (x - neck["running_mean"]) / (neck["running_var"] + 1e-5).sqrt() * neck["weight"]
    return torch.nn.functional.normalize(x, dim=1)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("pooled", [False, True])
def test_features_equal_those_of_the_other_toolbox(make, pooled, tmp_path):
    torch.manual_seed(1)
    saved = make(pooled)
    torch.save(saved, tmp_path / "model.pth.tar")
    found = import_encoder(tmp_path / "model.pth.tar", 64, 32)
    state = saved.get("state_dict", saved.get("model", saved))
    pooled = pooled and make in (fast_reid, cluster_contrast)
    assert found.card.pooling == ("gem" if pooled else "avg")
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        wanted = expected(state, images, pooled)
        torch.testing.assert_close(found.encoder(images), wanted, rtol=1e-3, atol=1e-5)


def test_the_folder_is_a_model_for_all_commands(tmp_path, capsys):
    torch.save(cluster_contrast(True), tmp_path / "model_best.pth.tar")
    words = ["--out", str(tmp_path / "model"), "--height", "64", "--width", "32"]
    main(["zoo", "import", str(tmp_path / "model_best.pth.tar"), *words])
    assert "Cluster Contrast or OpenUnReID: resnet18, gem pooling" in capsys.readouterr().out
    encoder, card = load_encoder(tmp_path / "model")
    assert card.height == 64
    assert encoder.feature_size == 512


def test_a_resnet50_is_recognised(tmp_path):
    state = {f"base.{name}": value for name, value in trunk(resnet50).items()}
    torch.save(state | norm("bottleneck.", 2048), tmp_path / "r50.pth")
    assert import_encoder(tmp_path / "r50.pth").card.backbone == "resnet50"


def test_faults_are_named(tmp_path, capsys):
    torch.save({"vit.weight": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"is of no toolbox that is known \(fast-reid; SpCL"):
        import_encoder(tmp_path / "x.pth")
    more = strong_baseline(False) | {"extra": torch.zeros(1)}
    torch.save(more, tmp_path / "more.pth")
    message = failure(capsys, "zoo", "import", tmp_path / "more.pth", "--out", tmp_path / "m")
    assert "looks like TransReID-SSL or the strong baseline" in message
    assert "1 of its weights have no place: extra" in message
    other = strong_baseline(False) | {"base.layer1.0.NL.weight": torch.zeros(1)}
    torch.save(other, tmp_path / "other.pth")
    message = failure(capsys, "zoo", "import", tmp_path / "other.pth", "--out", tmp_path / "m")
    assert "1 unexpected: backbone.layer1.0.NL.weight" in message
    assert not (tmp_path / "m").exists()

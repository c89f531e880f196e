"""Import of pretrained backbones without re-ID head: torchvision, DINO, MoCo, IBN-a."""

import argparse

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50

from reid_gen.cli.main import main
from reid_gen.errors import UserError
from reid_gen.models.backbone import BackboneSpec, create_backbone
from reid_gen.models.checkpoint import load_encoder
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.models.foreign import INPUT_STATISTICS, import_encoder
from tests.models.test_foreign import norm, reference_features, transreid, trunk

pytestmark = pytest.mark.slow


def add_prefix(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def plain():
    return trunk()


def with_classifier():
    return {"state_dict": trunk() | {"fc.weight": torch.rand(10, 512), "fc.bias": torch.rand(10)}}


def dino():
    heads = {"head.mlp.0.weight": torch.rand(9, 512), "head.last_layer.weight_g": torch.rand(4, 1)}
    return {
        "student": {
            name: value + 1 for name, value in add_prefix("module.backbone.", trunk()).items()
        },
        "teacher": add_prefix("backbone.", trunk()) | heads,
        "epoch": 100,
        "args": argparse.Namespace(arch="resnet18", out_dim=4),
    }


def moco():
    return {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": add_prefix("module.encoder_q.", trunk() | {"fc.0.weight": torch.rand(9, 512)})
        | add_prefix("module.encoder_k.", trunk() | {"fc.0.weight": torch.rand(9, 512)})
        | {"module.queue": torch.rand(9, 16), "module.queue_ptr": torch.zeros(1)},
    }


@pytest.mark.parametrize(
    ("make_checkpoint", "layout", "dropped"),
    [
        (plain, "torchvision (ResNet)", 0),
        (with_classifier, "torchvision (ResNet)", 2),
        (dino, "DINO (ResNet)", 2),
        (moco, "MoCo or LUPerson", len(trunk()) + 4),
    ],
)
def test_import_encoder_ignores_heads_of_pretraining(make_checkpoint, layout, dropped, tmp_path):
    torch.save(make_checkpoint(), tmp_path / "model.pth")
    imported = import_encoder(tmp_path / "model.pth", 64, 32)
    assert (imported.layout, len(imported.dropped)) == (layout, dropped)
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = reference_features(trunk(), images, gem_pooling=False)
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize("stem", [False, True])
def test_import_encoder_reproduces_dino_class_tokens(prefix, stem, tmp_path):
    network, state = transreid(prefix, stem)
    backbone_state = {
        n: v for n, v in state.items() if not n.startswith(("bottleneck.", "classifier."))
    }
    heads = {"head.mlp.0.weight": torch.rand(9, 384), "head.mlp.0.bias": torch.rand(9)}
    torch.save(
        {"teacher": backbone_state | heads} if prefix else backbone_state, tmp_path / "vit.pth"
    )
    imported = import_encoder(tmp_path / "vit.pth", 64, 32, "imagenet")
    assert imported.layout == "DINO (ViT)"
    assert imported.card.backbone == ("vit_small_ics" if stem else "vit_small_patch16_224")
    assert imported.dropped == (tuple(heads) if prefix else ())
    images = torch.rand(2, 3, 64, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    with torch.no_grad():
        expected = F.normalize(network.forward_features((images - mean) / std)[:, 0], dim=1)
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-4)


class ReferenceIBN(nn.Module):
    """Reference IBN-a: instance norm on half of the channels, batch norm on the rest."""

    def __init__(self, channels):
        super().__init__()
        self.IN = nn.Module()
        self.IN.weight = nn.Parameter(torch.rand(channels // 2) + 0.5)
        self.IN.bias = nn.Parameter(torch.rand(channels // 2))
        self.BN = nn.Module()
        for name, value in norm("", channels - channels // 2).items():
            self.BN.register_buffer(name, value)

    def forward(self, x):
        half = len(self.IN.weight)
        instance, batch = x[:, :half], x[:, half:]
        flat = instance.flatten(2)
        std = (flat.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        instance = ((flat - flat.mean(2, keepdim=True)) / std).view_as(instance)
        instance = instance * self.IN.weight.view(-1, 1, 1) + self.IN.bias.view(-1, 1, 1)
        norm_layer = self.BN
        batch = F.batch_norm(
            batch,
            norm_layer.running_mean,
            norm_layer.running_var,
            norm_layer.weight,
            norm_layer.bias,
        )
        return torch.cat([instance, batch], 1)


def with_ibn(network):
    torch.manual_seed(5)
    network_ibn = network()
    for stage in (network_ibn.layer1, network_ibn.layer2, network_ibn.layer3):
        for block in stage:
            block.bn1 = ReferenceIBN(block.bn1.num_features)
    return network_ibn.eval()


@pytest.mark.parametrize(
    ("network", "name"), [(resnet18, "resnet18_ibn_a"), (resnet50, "resnet50_ibn_a")]
)
def test_import_encoder_recognises_ibn_resnets(network, name, tmp_path):
    network_ibn = with_ibn(network)
    torch.save(network_ibn.state_dict(), tmp_path / "ibn.pth")
    imported = import_encoder(tmp_path / "ibn.pth", 64, 32)
    assert imported.card.backbone == name
    images = torch.rand(2, 3, 64, 32)
    network_ibn.fc = nn.Identity()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    with torch.no_grad():
        expected = F.normalize(network_ibn((images - mean) / std), dim=1)
        torch.testing.assert_close(imported.encoder(images), expected, rtol=1e-3, atol=1e-5)
    start = create_encoder(EncoderCard(name, "avg", 64, 32), str(tmp_path / "ibn.pth"))
    torch.testing.assert_close(start.backbone.conv1.weight, network_ibn.conv1.weight)


def test_create_backbone_has_no_public_weights_of_ibn():
    with pytest.raises(UserError, match="resnet50_ibn_a has no public weights"):
        create_backbone(BackboneSpec("resnet50_ibn_a", 64, 32, 1, "imagenet"))


def test_zoo_import_lists_dropped_weights(tmp_path, capsys):
    heads = {f"head.mlp.{n}.weight": torch.rand(2, 2) for n in range(7)}
    torch.save({"teacher": add_prefix("backbone.", trunk()) | heads}, tmp_path / "dino.pth")
    words = ["--out", str(tmp_path / "model"), "--height", "64", "--width", "32"]
    main(["zoo", "import", str(tmp_path / "dino.pth"), *words])
    output = capsys.readouterr().out
    assert "DINO (ResNet): resnet18, avg pooling; loaded 120 tensors, ignored 7: " in output
    assert "head.mlp.0.weight, head.mlp.1.weight" in output
    assert "head.mlp.4.weight and 2 more" in output
    assert load_encoder(tmp_path / "model")[1].last_stride == 2


def test_import_encoder_rejects_unexpected_weights(tmp_path):
    checkpoint = {"teacher": add_prefix("backbone.", trunk()) | {"decoder.weight": torch.rand(2)}}
    torch.save(checkpoint, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"1 of its weights are unexpected: decoder\.weight"):
        import_encoder(tmp_path / "more.pth")


class RunsCode:
    def __reduce__(self):
        return (print, ("code ran",))


def test_import_encoder_never_runs_code_of_a_file(tmp_path, capsys):
    torch.save({"state_dict": plain(), "args": RunsCode()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"holds Python objects \(\S*print\) with its tensors"):
        import_encoder(tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out

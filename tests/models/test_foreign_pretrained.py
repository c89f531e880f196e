"""Checkpoints of what was pre-trained without a re-ID head: torchvision's names, DINO, MoCo."""

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
from tests.models.test_foreign import expected, norm, transreid, trunk


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def plain():
    return trunk()


def with_classifier():
    return {"state_dict": trunk() | {"fc.weight": torch.rand(10, 512), "fc.bias": torch.rand(10)}}


def dino():
    heads = {"head.mlp.0.weight": torch.rand(9, 512), "head.last_layer.weight_g": torch.rand(4, 1)}
    return {
        "student": {name: value + 1 for name, value in under("module.backbone.", trunk()).items()},
        "teacher": under("backbone.", trunk()) | heads,
        "epoch": 100,
        "args": argparse.Namespace(arch="resnet18", out_dim=4),
    }


def moco():
    return {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": under("module.encoder_q.", trunk() | {"fc.0.weight": torch.rand(9, 512)})
        | under("module.encoder_k.", trunk() | {"fc.0.weight": torch.rand(9, 512)})
        | {"module.queue": torch.rand(9, 16), "module.queue_ptr": torch.zeros(1)},
    }


@pytest.mark.parametrize(
    ("make", "layout", "dropped"),
    [
        (plain, "torchvision (ResNet)", 0),
        (with_classifier, "torchvision (ResNet)", 2),
        (dino, "DINO (ResNet)", 2),
        (moco, "MoCo or LUPerson", len(trunk()) + 4),
    ],
)
def test_features_are_those_of_the_backbone_without_heads(make, layout, dropped, tmp_path):
    torch.save(make(), tmp_path / "model.pth")
    found = import_encoder(tmp_path / "model.pth", 64, 32)
    assert (found.layout, len(found.dropped)) == (layout, dropped)
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        wanted = expected(trunk(), images, pooled=False)
        torch.testing.assert_close(found.encoder(images), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize("stem", [False, True])
def test_transformers_of_dino_give_their_class_token(prefix, stem, tmp_path):
    network, state = transreid(prefix, stem)
    kept = {n: v for n, v in state.items() if not n.startswith(("bottleneck.", "classifier."))}
    heads = {"head.mlp.0.weight": torch.rand(9, 384), "head.mlp.0.bias": torch.rand(9)}
    torch.save({"teacher": kept | heads} if prefix else kept, tmp_path / "vit.pth")
    found = import_encoder(tmp_path / "vit.pth", 64, 32, "imagenet")
    assert found.layout == "DINO (ViT)"
    assert found.card.backbone == ("vit_small_ics" if stem else "vit_small_patch16_224")
    assert found.dropped == (tuple(heads) if prefix else ())
    images = torch.rand(2, 3, 64, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    with torch.no_grad():
        wanted = F.normalize(network.forward_features((images - mean) / std)[:, 0], dim=1)
        torch.testing.assert_close(found.encoder(images), wanted, rtol=1e-3, atol=1e-4)


class Halves(nn.Module):
    """IBN-a by hand: instance norm on the first half of the channels, batch norm on the rest."""

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
        one, other = x[:, :half], x[:, half:]
        flat = one.flatten(2)
        spread = (flat.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        one = ((flat - flat.mean(2, keepdim=True)) / spread).view_as(one)
        one = one * self.IN.weight.view(-1, 1, 1) + self.IN.bias.view(-1, 1, 1)
        own = self.BN
        other = F.batch_norm(other, own.running_mean, own.running_var, own.weight, own.bias)
        return torch.cat([one, other], 1)


def halved(network):
    torch.manual_seed(5)
    made = network()
    for stage in (made.layer1, made.layer2, made.layer3):
        for block in stage:
            block.bn1 = Halves(block.bn1.num_features)
    return made.eval()


@pytest.mark.parametrize(
    ("network", "name"), [(resnet18, "resnet18_ibn_a"), (resnet50, "resnet50_ibn_a")]
)
def test_networks_with_half_instance_norm_are_recognised(network, name, tmp_path):
    made = halved(network)
    torch.save(made.state_dict(), tmp_path / "ibn.pth")
    found = import_encoder(tmp_path / "ibn.pth", 64, 32)
    assert found.card.backbone == name
    images = torch.rand(2, 3, 64, 32)
    made.fc = nn.Identity()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in INPUT_STATISTICS["imagenet"])
    with torch.no_grad():
        wanted = F.normalize(made((images - mean) / std), dim=1)
        torch.testing.assert_close(found.encoder(images), wanted, rtol=1e-3, atol=1e-5)
    start = create_encoder(EncoderCard(name, "avg", 64, 32), str(tmp_path / "ibn.pth"))
    torch.testing.assert_close(start.backbone.conv1.weight, made.conv1.weight)


def test_public_weights_of_half_instance_norm_are_not_fetched():
    with pytest.raises(UserError, match="resnet50_ibn_a has no public weights"):
        create_backbone(BackboneSpec("resnet50_ibn_a", 64, 32, 1, "imagenet"))


def test_what_was_left_out_is_named(tmp_path, capsys):
    heads = {f"head.mlp.{n}.weight": torch.rand(2, 2) for n in range(7)}
    torch.save({"teacher": under("backbone.", trunk()) | heads}, tmp_path / "dino.pth")
    words = ["--out", str(tmp_path / "model"), "--height", "64", "--width", "32"]
    main(["zoo", "import", str(tmp_path / "dino.pth"), *words])
    told = capsys.readouterr().out
    assert "DINO (ResNet): resnet18, avg pooling; read 120 tensors, left out 7: " in told
    assert "head.mlp.0.weight, head.mlp.1.weight" in told
    assert "head.mlp.4.weight and 2 more" in told
    assert load_encoder(tmp_path / "model")[1].last_stride == 2


def test_what_has_no_place_is_refused_in_wrappers_too(tmp_path):
    more = {"teacher": under("backbone.", trunk()) | {"decoder.weight": torch.rand(2)}}
    torch.save(more, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"1 of its weights are unexpected: decoder\.weight"):
        import_encoder(tmp_path / "more.pth")


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_files_never_run_code(tmp_path, capsys):
    torch.save({"state_dict": plain(), "args": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"holds Python objects \(print\) with its tensors"):
        import_encoder(tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out

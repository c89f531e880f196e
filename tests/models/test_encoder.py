from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from reid_gen.errors import UserError
from reid_gen.models.backbone import BACKBONES, BackboneSpec, create_backbone
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.models.normalisation import use_ghost_batches
from reid_gen.models.pooling import GlobalAvgPool, GlobalGeMPool, GlobalMaxPool

SHARED = Path(__file__).parents[3] / "shared" / "weights"
MOBILENET = SHARED / "mobilenetv2_100.imagenet1k_from_int8.safetensors"


def card(backbone="resnet18", height=64, width=32, last_stride=1):
    return EncoderCard(backbone, "gem", height, width, last_stride)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_create_encoder_normalises_features_of_every_backbone(name):
    stride = None if name.startswith("vit") else 1
    encoder = create_encoder(card(name, last_stride=stride)).eval()
    feature = encoder(torch.rand(2, 3, 64, 32))
    assert feature.shape == (2, encoder.feature_size)
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenetv2_100"])
def test_create_backbone_doubles_the_map_with_last_stride_1(name):
    fine, coarse = (
        create_backbone(BackboneSpec(name, 64, 32, stride)).network.eval() for stride in (1, 2)
    )
    image = torch.rand(1, 3, 64, 32)
    assert fine(image).shape[2:] == (4, 2)
    assert coarse(image).shape[2:] == (2, 1)


def test_create_encoder_rejects_a_stride_that_does_not_apply():
    with pytest.raises(UserError, match="does not apply to the transformer"):
        create_encoder(card("vit_small_patch16_224"))
    with pytest.raises(UserError, match="does not apply to the convolutional network resnet18"):
        create_encoder(card(last_stride=None))


def test_create_encoder_lists_known_backbones():
    with pytest.raises(UserError, match=r"unknown backbone 'resnet52'; known: .*resnet18, .*mean"):
        create_encoder(card("resnet52"))


def test_create_encoder_rejects_unknown_public_weights():
    with pytest.raises(UserError, match=r"weights 'NO_SUCH' of backbone resnet18 cannot be loaded"):
        create_encoder(card(), "NO_SUCH")


def test_create_encoder_loads_torchvision_weights(tmp_path):
    source = resnet18()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    encoder = create_encoder(card(), str(tmp_path / "w.pth"))
    torch.testing.assert_close(
        encoder.backbone.layer4[1].conv2.weight, source.layer4[1].conv2.weight
    )


def test_create_encoder_loads_timm_weights(tmp_path):
    source = timm.create_model("mobilenetv2_100")
    safetensors.torch.save_file(source.state_dict(), tmp_path / "w.safetensors")
    encoder = create_encoder(card("mobilenetv2_100"), str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(encoder.backbone.conv_head.weight, source.conv_head.weight)


def test_create_encoder_rejects_weights_of_another_network(tmp_path):
    safetensors.torch.save_file(
        timm.create_model("mobilenetv2_100").state_dict(), tmp_path / "w.safetensors"
    )
    with pytest.raises(UserError) as error:
        create_encoder(card(), str(tmp_path / "w.safetensors"))
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'w.safetensors'} does not fit this architecture: ")
    assert " missing: conv1.weight, layer1.0.conv1.weight, " in message
    assert " unexpected: blocks.0.0.bn1." in message
    assert "bn1.weight (32,) instead of (64,)" in message
    assert "\n" not in message


def test_create_encoder_names_unreadable_weights(tmp_path):
    with pytest.raises(UserError, match=r"does not exist; check encoder.weights or the path"):
        create_encoder(card(), str(tmp_path / "no.pth"))
    (tmp_path / "w.safetensors").write_bytes(b"garbage")
    with pytest.raises(UserError, match="is not a readable weight file"):
        create_encoder(card(), str(tmp_path / "w.safetensors"))


def test_poolings_equal_their_definitions():
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(GlobalAvgPool()(x), x.mean(dim=(2, 3)))
    torch.testing.assert_close(GlobalMaxPool()(x), x.amax(dim=(2, 3)))
    for power in (1.0, 3.0):
        expected = torch.zeros(2, 3)
        for b in range(2):
            for c in range(3):
                expected[b, c] = sum(float(v) ** power for v in x[b, c].flatten()) / 20
        torch.testing.assert_close(GlobalGeMPool(power)(x), expected ** (1 / power))


def block():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).double().train()


def test_ghost_batches_equal_separate_devices():
    ghost, devices = block(), [block() for _ in range(4)]
    use_ghost_batches(ghost, 16)
    x = torch.rand(64, 3, 8, 6, dtype=torch.float64)
    expected = torch.cat([net(part) for net, part in zip(devices, x.split(16), strict=True)])
    output = ghost(x)
    torch.testing.assert_close(output, expected)
    output.square().mean().backward()
    expected.square().mean().backward()
    gradient = sum(net[0].weight.grad for net in devices)
    torch.testing.assert_close(ghost[0].weight.grad, gradient)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(net[1], name) for net in devices]).mean(dim=0)
        torch.testing.assert_close(getattr(ghost[1], name), mean)


def test_ghost_batches_keep_evaluation_and_weight_names():
    plain, ghost = block(), block()
    use_ghost_batches(ghost, 16)
    assert list(plain.state_dict()) == list(ghost.state_dict())
    x = torch.rand(40, 3, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(plain.eval()(x), ghost.eval()(x))


@pytest.mark.parametrize(("count", "groups"), [(17, [17]), (33, [16, 17]), (40, [16, 24])])
def test_ghost_batches_add_the_remainder_to_the_last_group(count, groups):
    ghost = nn.BatchNorm1d(4).double().train()
    use_ghost_batches(ghost, 16)
    x = torch.rand(count, 4, dtype=torch.float64)
    norms = [nn.BatchNorm1d(4).double().train() for _ in groups]
    expected = torch.cat([norm(part) for norm, part in zip(norms, x.split(groups), strict=True)])
    torch.testing.assert_close(ghost(x), expected)
    share = torch.tensor(groups, dtype=torch.float64) / count
    for name in ("running_mean", "running_var"):
        statistics = torch.stack([getattr(norm, name) for norm in norms])
        torch.testing.assert_close(getattr(ghost, name), share @ statistics)


def test_ghost_batches_reject_groups_of_one():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        use_ghost_batches(block(), 1)


@pytest.mark.skipif(not MOBILENET.is_file(), reason="the shared ImageNet weights are not here")
def test_create_encoder_loads_tensorflow_mobilenet_weights():
    create_encoder(card("mobilenetv2_100_tf"), str(MOBILENET))


def test_create_encoder_checks_the_backbone_of_built_ins():
    create_encoder(card("resnet10t"), "rendered")
    with pytest.raises(UserError, match=r"resnet10t.rendered.encoder.safetensors does not fit"):
        create_encoder(card("resnet18"), "rendered")


def test_create_encoder_rejects_settings_that_do_not_apply():
    with pytest.raises(UserError, match="pooling token does not apply to the convolutional"):
        create_encoder(EncoderCard("resnet18", "token", 64, 32))
    with pytest.raises(UserError, match="whose output stride is always 16"):
        create_encoder(EncoderCard("osnet_x0_25", "avg", 64, 32, last_stride=2))
    with pytest.raises(UserError, match="osnet_x0_25 has no public weights that can be downloaded"):
        create_encoder(EncoderCard("osnet_x0_25", "avg", 64, 32), "imagenet")


def test_create_encoder_starts_from_an_encoder_file(tmp_path):
    torch.manual_seed(0)
    source = create_encoder(EncoderCard("osnet_x0_25", "avg", 64, 32))
    file = tmp_path / "encoder.safetensors"
    state = {name: value.contiguous() for name, value in source.state_dict().items()}
    safetensors.torch.save_file(state, file)
    encoder = create_encoder(EncoderCard("osnet_x0_25", "gem", 64, 32), str(file))
    for actual, expected in zip(
        encoder.backbone.parameters(), source.backbone.parameters(), strict=True
    ):
        assert torch.equal(actual, expected)

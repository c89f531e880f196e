"""Pose pre-training: its loss terms, its gradients, and runs with a pose stage."""

import io

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.nn import functional as F

from reid_gen.data.positive_groups import SAME_POSE, Member, start_groups, write_part
from reid_gen.errors import UserError
from reid_gen.losses.reconstruction import weighted_absolute
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.models.pose import (
    PatchReconstructionHead,
    PoseHead,
    PoseHeads,
    random_patch_masks,
    upsample_masks,
)
from reid_gen.models.weights import read_weights
from reid_gen.runtime.devices import Runtime
from reid_gen.training.metrics_log import read_metrics
from reid_gen.training.pose_step import PoseBatch, PoseStep
from reid_gen.training.run import resume_run
from reid_gen.training.step import TrainableNetwork
from tests.data.real_format import make_market
from tests.reference.losses import info_nce, stable_rep
from tests.training.small import experiment, stop_after, train, write_config

pytestmark = pytest.mark.slow

GROUPS = torch.tensor([0, 0, 1, 1, 2, 2])
TRANSFORMER = "vit_small_patch16_224"


def make_step(weights, backbone="resnet10t", pooling="avg"):
    torch.manual_seed(0)
    stride = None if backbone == TRANSFORMER else 1
    card = EncoderCard(backbone, pooling, 64, 32, stride, pose_token=stride is None)
    encoder = create_encoder(card)
    heads = PoseHeads(
        PoseHead(encoder.channels, 16, 8), PatchReconstructionHead(encoder.channels, (16, 16))
    )
    trainable = [
        TrainableNetwork(network, torch.optim.SGD(network.parameters(), lr=0.1))
        for network in (encoder, heads)
    ]
    weights = {"pose": 0.0, "align": 0.0, "rebuild": 0.0, **weights}
    return PoseStep(encoder, heads, trainable, weights, 0.1, 0.2, 0.5, Runtime("fp32"))


def make_batch(views=2):
    torch.manual_seed(1)
    return PoseBatch([torch.rand(6, 3, 64, 32) for _ in range(views)], GROUPS, torch.arange(6))


@pytest.mark.parametrize("backbone", ["resnet10t", TRANSFORMER])
def test_pose_term_equals_stable_rep_minus_its_lower_bound(backbone):
    step, batch = make_step({"pose": 1.0}, backbone), make_batch()
    with torch.no_grad():
        poses = torch.cat([step.heads.head(step.encoder.encode(v).pose) for v in batch.views])
    groups, images = GROUPS.repeat(2), torch.arange(6).repeat(2)
    loss, lower_bound = stable_rep(poses.double(), groups, images, 0.1)
    assert step(batch)["pose"] == pytest.approx(loss - lower_bound, rel=1e-4)


def test_align_term_equals_hap_eq_4():
    step, batch = make_step({"align": 1.0}), make_batch()
    with torch.no_grad():
        first, second = (step.encoder.encode(images).feature.double() for images in batch.views)
    targets = range(6)
    expected = info_nce(first @ second.T, targets, 0.2) + info_nce(second @ first.T, targets, 0.2)
    assert step(batch)["align"] == pytest.approx(2 * 0.2 * expected, rel=1e-4)


def test_align_term_contrasts_in_both_directions():
    torch.manual_seed(1)
    first, second = F.normalize(torch.randn(2, 6, 4).double(), dim=2)
    forward = info_nce(first @ second.T, range(6), 0.2)
    backward = info_nce(second @ first.T, range(6), 0.2)
    assert forward != pytest.approx(backward, rel=0.01)
    loss = make_step({"align": 1.0})._align_loss([first, second]).item()
    assert loss == pytest.approx(2 * 0.2 * (forward + backward), rel=1e-6)


def test_rebuild_loss_averages_the_masked_pixels():
    torch.manual_seed(0)
    prediction, target = torch.rand(2, 2, 3, 8, 4).double()
    masks = upsample_masks(random_patch_masks(2, (4, 2), 0.5), 8, 4).double()
    assert masks.view(2, -1).sum(1).tolist() == [16, 16]
    total = count = 0.0
    for n in range(2):
        for y in range(8):
            for x in range(4):
                if masks[n, 0, y, x]:
                    total += float((prediction[n, :, y, x] - target[n, :, y, x]).abs().mean())
                    count += 1
    assert weighted_absolute(prediction, target, masks).item() == pytest.approx(total / count)


def test_patch_reconstruction_head_keeps_patches_in_place():
    head = PatchReconstructionHead(3, (2, 2))
    torch.nn.init.zeros_(head.layer.bias)
    with torch.no_grad():  # every pixel of a patch gets the channels of its map position
        head.layer.weight.copy_(torch.eye(3).repeat_interleave(4, 0)[..., None, None])
    feature_map = torch.rand(1, 3, 4, 2)
    torch.testing.assert_close(head(feature_map), F.interpolate(feature_map, scale_factor=2))


def test_pose_step_masks_patches_only_to_reconstruct_them():
    images = make_batch().views[0]
    view = make_step({"pose": 1.0})._encode_masked(images)
    assert view.masks.sum() == 0
    assert view.reconstruction is None
    step = make_step({"rebuild": 1.0})
    assert step._encode_masked(images).masks.mean() == 0.5
    assert 0 < step(make_batch(views=1))["rebuild"] < 1


@pytest.mark.parametrize(
    ("term", "updated"),
    [
        ("pose", {"backbone", "head"}),
        ("align", {"backbone", "neck"}),
        ("rebuild", {"backbone", "painter"}),
    ],
)
def test_term_updates_the_networks_that_it_depends_on(term, updated):
    step = make_step({term: 1.0})
    networks = {
        "backbone": step.encoder.backbone, "neck": step.encoder.neck,
        "head": step.heads.head, "painter": step.heads.painter,
    }  # fmt: skip
    before = {k: [p.detach().clone() for p in n.parameters()] for k, n in networks.items()}
    step(make_batch())
    assert updated == {
        name
        for name, network in networks.items()
        if any(
            not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
        )
    }


def test_pose_token_depends_on_the_image_and_adds_no_part():
    torch.manual_seed(0)
    plain, with_token = (
        create_encoder(EncoderCard(TRANSFORMER, "avg", 64, 32, None, None, pose_token)).eval()
        for pose_token in (False, True)
    )
    images = torch.rand(2, 3, 64, 32)
    encoded = with_token.encode(images)
    assert encoded.token.shape == (2, with_token.channels)
    assert not torch.allclose(encoded.token[0], encoded.token[1])
    assert torch.equal(encoded.pose, encoded.token)
    assert encoded.parts.shape == plain.encode(images).parts.shape
    assert with_token(images).shape == plain(images).shape


def test_create_encoder_refuses_a_pose_token_of_a_cnn():
    with pytest.raises(UserError, match="pose_token does not apply to the convolutional network"):
        create_encoder(EncoderCard("resnet10t", "avg", 64, 32, 1, None, True))


def test_encoder_separates_class_token_and_pose_token():
    torch.manual_seed(0)
    encoder = create_encoder(EncoderCard(TRANSFORMER, "token", 64, 32, None, None, True)).eval()
    encoder.neck.running_mean.normal_()
    images = torch.rand(2, 3, 64, 32)
    encoded = encoder.encode(images)
    tokens = encoder.backbone.network((images - encoder.mean) / encoder.std)
    feature = F.normalize(encoder.neck(tokens[:, 0]), dim=1)
    torch.testing.assert_close(encoded.feature, feature)
    torch.testing.assert_close(encoded.pose, tokens[:, -1])
    assert not torch.allclose(tokens[:, 0], tokens[:, -1])


def test_pose_step_updates_both_tokens_of_a_transformer():
    step = make_step({"pose": 1.0, "align": 1.0}, TRANSFORMER, "token")
    backbone = step.encoder.backbone
    pose_token, class_token = (
        token.detach().clone() for token in (backbone.token, backbone.network.cls_token)
    )
    step(make_batch())
    assert not torch.equal(pose_token, backbone.token)
    assert not torch.equal(class_token, backbone.network.cls_token)


def write_groups(folder, sizes=(3, 3, 3, 3)):
    rng = np.random.default_rng(0)
    members = []
    for group, size in enumerate(sizes):
        for n in range(size):
            file = io.BytesIO()
            pixels = rng.integers(0, 255, (64, 32, 3), dtype=np.uint8)
            Pillow.fromarray(pixels).save(file, "PNG")
            name = f"part-00000/{group}_{n}.png"
            members.append((Member(name, f"pose {group}", seed=0), file.getvalue()))
    start_groups(folder, {"kind": SAME_POSE, "parts": 1, "sources": len(sizes)})
    write_part(folder, 0, members)
    return folder


def write_pose_config(folder, groups):
    config = write_config(folder, make_market(folder / "data"))
    pose = (
        f"pose: {{groups: {groups}, batch: 8, instances: 2, hidden: 16, "
        "weights: {pose: 0.05, align: 0.05, rebuild: 1.0}}\n"
    )
    stage = "  - {name: pose, trains: [pose], epochs: 2, iterations: 3}\n"
    head, tail = config.read_text().split("stages:\n")
    config.write_text(f"{head}{pose}stages:\n{stage}{tail}")
    return config


@pytest.fixture
def pose_config(tmp_path):
    """Configuration with a pose stage before the identity stage, and its groups."""
    return write_pose_config(tmp_path, write_groups(tmp_path / "groups"))


@pytest.fixture(scope="module")
def pose_run(tmp_path_factory):
    """Finished run of two epochs of pose pre-training and two of re-ID; read-only."""
    folder = tmp_path_factory.mktemp("pose")
    return train(write_pose_config(folder, write_groups(folder / "groups")))


def test_pretraining_never_mirrors_images(pose_config):
    built, settings = experiment(pose_config)
    augmentation = built.trainer.pretraining.augmentation
    assert settings.augment.flip == 0.5
    assert (augmentation.flip, augmentation.pad, augmentation.erase) == (0.0, 2, 0.3)


def test_pose_stage_comes_before_the_identity_stage(pose_run):
    first, second, third, _ = read_metrics(pose_run)[1:]
    assert first["stage"] == second["stage"] == "pose"
    assert {"loss_pose", "loss_align", "loss_rebuild"} <= first.keys()
    assert "clusters" in third
    assert (pose_run / "last" / "pose.safetensors").exists()


def test_resumed_pose_run_equals_an_uninterrupted_run(pose_run, pose_config, monkeypatch):
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(pose_config)
    monkeypatch.undo()
    resumed = pose_config.parent / "runs" / "tiny"
    resume_run(experiment(pose_config)[0], resumed)
    expected, actual = (
        read_weights(run / "last" / "encoder.safetensors") for run in (pose_run, resumed)
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_start_from_copies_the_encoder_of_a_pose_run(pose_run, tmp_path):
    config = write_config(tmp_path, pose_run.parents[1] / "data")
    built, _ = experiment(config, f"start_from={pose_run}")
    expected = read_weights(pose_run / "last" / "encoder.safetensors")
    actual = built.trainer.encoder.state_dict()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_build_pretraining_refuses_a_group_of_one_image(tmp_path):
    groups = write_groups(tmp_path / "groups", (2, 1))
    with pytest.raises(UserError, match=r"group 'pose 1' of .*groups has one member"):
        experiment(write_pose_config(tmp_path, groups))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pose=null", "need each other"),
        ("stages.0.trains=[pose, identity]", "can train nothing else and have no views"),
        ("pose.instances=3", "batch 8 must be a multiple of instances 3"),
        ("pose.weights={pose: 0, align: 0, rebuild: 0}", "at least one of pose.weights must be"),
    ],
)
def test_config_refuses_contradictory_pose_settings(pose_config, setting, message):
    with pytest.raises(UserError, match=message):
        experiment(pose_config, setting)


def test_build_pretraining_refuses_patches_that_do_not_tile(pose_config):
    with pytest.raises(UserError) as error:
        experiment(pose_config, "data.height=72")
    assert str(error.value) == (
        "the encoder's feature map of 5 x 2 positions does not divide images of 72 x 32 pixels "
        "into equal patches; set data.height and data.width to multiples of 32"
    )

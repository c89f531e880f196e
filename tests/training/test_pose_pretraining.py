"""Pre-training on poses: its terms, its gradients, and a run from groups to re-ID."""

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

GROUPS = torch.tensor([0, 0, 1, 1, 2, 2])


def make_step(weights, backbone="resnet10t", pooling="avg"):
    torch.manual_seed(0)
    stride = None if backbone.startswith("vit") else 1
    card = EncoderCard(backbone, pooling, 64, 32, stride, pose_token=stride is None)
    encoder = create_encoder(card)
    heads = PoseHeads(
        PoseHead(encoder.channels, 16, 8), PatchReconstructionHead(encoder.channels, (16, 16))
    )
    trainable = [
        TrainableNetwork(n, torch.optim.SGD(n.parameters(), lr=0.1)) for n in (encoder, heads)
    ]
    every = {"pose": 0.0, "align": 0.0, "rebuild": 0.0, **weights}
    return PoseStep(encoder, heads, trainable, every, 0.1, 0.2, 0.5, Runtime("fp32"))


def batch(views=2, seed=1):
    torch.manual_seed(seed)
    return PoseBatch([torch.rand(6, 3, 64, 32) for _ in range(views)], GROUPS, torch.arange(6))


@pytest.mark.parametrize("backbone", ["resnet10t", "vit_small_patch16_224"])
def test_same_pose_equals_stable_rep_less_its_floor(backbone):
    step = make_step({"pose": 1.0}, backbone)
    some = batch()
    with torch.no_grad():
        poses = torch.cat([step.heads.head(step.encoder.encode(v).pose) for v in some.views])
    slow, floor = stable_rep(poses.double(), GROUPS.repeat(2), torch.arange(6).repeat(2), 0.1)
    assert step(some)["pose"] == pytest.approx(slow - floor, rel=1e-4)


def test_alignment_equals_hap_eq_4():
    step = make_step({"align": 1.0})
    some = batch()
    with torch.no_grad():
        one, other = (step.encoder.encode(images).feature.double() for images in some.views)
    itself = range(6)
    slow = info_nce(one @ other.T, itself, 0.2) + info_nce(other @ one.T, itself, 0.2)
    assert step(some)["align"] == pytest.approx(2 * 0.2 * slow, rel=1e-4)
    one, other = F.normalize(torch.randn(2, 6, 4).double(), dim=2)  # these differ by direction
    both = [info_nce(one @ other.T, itself, 0.2), info_nce(other @ one.T, itself, 0.2)]
    assert both[0] != pytest.approx(both[1], rel=0.01)
    found = step._same_image([one, other]).item()
    assert found == pytest.approx(2 * 0.2 * sum(both), rel=1e-6)


def test_hidden_patches_are_what_counts_pixel_by_pixel():
    torch.manual_seed(0)
    found, wanted = torch.rand(2, 2, 3, 8, 4).double()
    masks = upsample_masks(random_patch_masks(2, (4, 2), 0.5), 8, 4).double()
    assert masks.view(2, -1).sum(1).tolist() == [16, 16]
    total = count = 0.0
    for n in range(2):
        for y in range(8):
            for x in range(4):
                if masks[n, 0, y, x]:
                    total += float((found[n, :, y, x] - wanted[n, :, y, x]).abs().mean())
                    count += 1
    assert weighted_absolute(found, wanted, masks).item() == pytest.approx(total / count)


def test_each_place_of_the_map_draws_the_patch_that_it_lies_over():
    painter = PatchReconstructionHead(3, (2, 2))
    torch.nn.init.zeros_(painter.layer.bias)
    with torch.no_grad():  # every pixel of a patch is the place's own three channels
        painter.layer.weight.copy_(torch.eye(3).repeat_interleave(4, 0)[..., None, None])
    found = torch.rand(1, 3, 4, 2)
    torch.testing.assert_close(painter(found), F.interpolate(found, scale_factor=2))


def test_nothing_is_hidden_unless_it_is_rebuilt():
    step = make_step({"pose": 1.0})
    seen = step._look(batch().views[0])
    assert seen.masks.sum() == 0
    assert seen.drawn is None
    hidden = make_step({"rebuild": 1.0})
    assert hidden._look(batch().views[0]).masks.mean() == 0.5
    assert 0 < hidden(batch(1))["rebuild"] < 1


@pytest.mark.parametrize(
    ("term", "moved"),
    [("pose", {"trunk", "head"}), ("align", {"trunk", "neck"}), ("rebuild", {"trunk", "painter"})],
)
def test_a_term_moves_these_and_no_others(term, moved):
    step = make_step({term: 1.0})
    networks = {
        "trunk": step.encoder.backbone, "neck": step.encoder.neck,
        "head": step.heads.head, "painter": step.heads.painter,
    }  # fmt: skip
    before = {k: [p.detach().clone() for p in n.parameters()] for k, n in networks.items()}
    step(batch())
    assert moved == {
        name
        for name, network in networks.items()
        if any(
            not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)
        )
    }


def test_the_pose_token_sees_the_image_and_leaves_the_rest_its_shape():
    torch.manual_seed(0)
    plain, with_token = (
        create_encoder(
            EncoderCard("vit_small_patch16_224", "avg", 64, 32, None, None, token)
        ).eval()
        for token in (False, True)
    )
    images = torch.rand(2, 3, 64, 32)
    seen = with_token.encode(images)
    assert seen.token.shape == (2, with_token.channels)
    assert not torch.allclose(seen.token[0], seen.token[1])
    assert torch.equal(seen.pose, seen.token)
    assert seen.parts.shape == plain.encode(images).parts.shape
    assert with_token(images).shape == plain(images).shape
    with pytest.raises(UserError, match="pose_token does not apply to the convolutional network"):
        create_encoder(EncoderCard("resnet10t", "avg", 64, 32, 1, None, True))


def write_groups(folder, sizes=(3, 3, 3, 3)):
    rng = np.random.default_rng(0)
    made = []
    for group, size in enumerate(sizes):
        for n in range(size):
            file = io.BytesIO()
            pixels = rng.integers(0, 255, (64, 32, 3), dtype=np.uint8)
            Pillow.fromarray(pixels).save(file, "PNG")
            name = f"part-00000/{group}_{n}.png"
            made.append((Member(name, f"pose {group}", seed=0), file.getvalue()))
    start_groups(folder, {"kind": SAME_POSE, "parts": 1, "sources": len(sizes)})
    write_part(folder, 0, made)
    return folder


def pose_config(tmp_path, groups, weights="{pose: 0.05, align: 0.05, rebuild: 1.0}"):
    config = write_config(tmp_path, make_market(tmp_path / "data"))
    pose = f"pose: {{groups: {groups}, batch: 8, instances: 2, hidden: 16, weights: {weights}}}\n"
    stage = "  - {name: pose, trains: [pose], epochs: 2, iterations: 3}\n"
    head, tail = config.read_text().split("stages:\n")
    config.write_text(f"{head}{pose}stages:\n{stage}{tail}")
    return config


def test_pretraining_never_mirrors_a_pose(tmp_path):
    made, settings = experiment(pose_config(tmp_path, write_groups(tmp_path / "groups")))
    changes = made.trainer.pretraining.augmentation
    assert settings.augment.flip == 0.5
    assert (changes.flip, changes.pad, changes.erase) == (0.0, 2, 0.3)


def test_a_run_learns_poses_then_re_id_and_another_may_start_from_it(tmp_path, monkeypatch):
    config = pose_config(tmp_path, write_groups(tmp_path / "groups"))
    run = train(config)
    first, second, third, _ = read_metrics(run)[1:]
    assert first["stage"] == second["stage"] == "pose"
    assert {"loss_pose", "loss_align", "loss_rebuild"} <= first.keys()
    assert "clusters" in third
    assert (run / "last" / "pose.safetensors").exists()
    stop_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(config, "name=cut")
    monkeypatch.undo()
    made, _ = experiment(config, "name=cut")
    resume_run(made, run.with_name("cut"))
    whole, cut = (
        read_weights(run.with_name(name) / "last" / "encoder.safetensors")
        for name in ("tiny", "cut")
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    plain = write_config(tmp_path, tmp_path / "data")
    made, _ = experiment(plain, f"start_from={run}", "name=after")
    own = made.trainer.encoder.state_dict()
    assert all(torch.equal(whole[name], own[name]) for name in whole)


def test_faults_of_groups_and_settings_are_named(tmp_path):
    lonely = write_groups(tmp_path / "lonely", (2, 1))
    with pytest.raises(UserError, match=r"group 'pose 1' of .*lonely has one member"):
        experiment(pose_config(tmp_path, lonely))
    groups = write_groups(tmp_path / "groups")
    config = pose_config(tmp_path, groups)
    with pytest.raises(UserError, match="need each other"):
        experiment(config, "pose=null")
    with pytest.raises(UserError, match="can train nothing else and have no views"):
        experiment(config, "stages.0.trains=[pose, identity]")
    with pytest.raises(UserError, match="batch 8 must be a multiple of instances 3"):
        experiment(config, "pose.instances=3")
    with pytest.raises(UserError, match=r"at least one of pose.weights must be above 0"):
        experiment(config, "pose.weights={pose: 0, align: 0, rebuild: 0}")


def test_patches_that_do_not_tile_the_image_are_refused(tmp_path):
    config = pose_config(tmp_path, write_groups(tmp_path / "groups"))
    with pytest.raises(UserError) as fault:
        experiment(config, "data.height=72")
    assert str(fault.value) == (
        "the encoder's map has 5 x 2 places, which does not divide 72 x 32 pixels; take multiples "
        "of 32 for data.height and data.width"
    )


def test_encoder_keeps_class_token_and_pose_token_apart():
    torch.manual_seed(0)
    card = EncoderCard("vit_small_patch16_224", "token", 64, 32, None, None, True)
    encoder = create_encoder(card).eval()
    encoder.neck.running_mean.normal_()
    images = torch.rand(2, 3, 64, 32)
    found = encoder.encode(images)
    every = encoder.backbone.network((images - encoder.mean) / encoder.std)
    feature = torch.nn.functional.normalize(encoder.neck(every[:, 0]), dim=1)
    torch.testing.assert_close(found.feature, feature)
    torch.testing.assert_close(found.pose, every[:, -1])
    assert not torch.allclose(every[:, 0], every[:, -1])


def test_pretraining_moves_both_tokens_of_a_transformer():
    step = make_step({"pose": 1.0, "align": 1.0}, "vit_small_patch16_224", "token")
    network = step.encoder.backbone
    before = [token.detach().clone() for token in (network.token, network.network.cls_token)]
    step(batch())
    assert not torch.equal(before[0], network.token)
    assert not torch.equal(before[1], network.network.cls_token)

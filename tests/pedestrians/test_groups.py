import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.data.check_groups import check_groups
from reid_gen.data.positive_groups import SAME_IDENTITY, SAME_POSE, load_groups
from reid_gen.errors import UserError
from reid_gen.pedestrians import groups as groups_module
from reid_gen.pedestrians.groups import GroupPlan, render_groups, sample_group
from reid_gen.pedestrians.renderer import PedestrianRenderer

pytestmark = pytest.mark.slow

SIZE = {"height": 64, "width": 32}


def projected_joints(renderer, crop):
    """Joints of a crop in image heights, [24, 2]."""
    posed, projection = renderer._pose_body(crop.person, crop.pose, crop.shot.framing)
    return projection.project(posed.joints[0].numpy())[:, :2] / renderer.height


def test_sample_group_pose_gives_different_people_the_same_pose():
    plan = GroupPlan("pose", 3, 3, seed=2, **SIZE)
    renderer = PedestrianRenderer(2, 64, 32)
    group, other_group = sample_group(renderer, plan, 0), sample_group(renderer, plan, 1)
    assert len({crop.person for crop in group}) == 3
    joints = projected_joints(renderer, group[0])
    within = np.abs(joints - projected_joints(renderer, group[1])).mean()
    between = np.abs(joints - projected_joints(renderer, other_group[0])).mean()
    assert within < 0.5 * between


def test_sample_group_looks_gives_one_person_different_poses():
    plan = GroupPlan("looks", 3, 3, seed=2, **SIZE)
    crops = sample_group(PedestrianRenderer(2, 64, 32), plan, 0)
    assert len({crop.person for crop in crops}) == 1
    assert not np.allclose(crops[0].pose, crops[1].pose)
    assert len({crop.shot.framing.yaw for crop in crops}) == 3


def test_groups_command_writes_groups_that_pass_the_check(tmp_path):
    options = ["--share", "pose", "--count", "3", "--members", "2", "--workers", "1"]
    size = ["--height", "64", "--width", "32"]
    out = ["--out", str(tmp_path / "a"), "--sheet", str(tmp_path / "a.png")]
    main(["data", "groups", *options, *size, *out])
    main(["generate", "--out", str(tmp_path / "a"), "--check"])
    groups = load_groups(tmp_path / "a")
    check_groups(groups)
    assert len(groups.members) == 6
    assert groups.header["kind"] == SAME_POSE
    assert (tmp_path / "a.png").exists()
    first, second, _, _, other, _ = (np.array(member.pose) for member in groups.members)
    assert first.shape == (72,)
    assert np.abs(first - second)[3:].max() == 0
    assert np.abs(first - other)[3:].max() > 0.01


def test_render_groups_resumes_after_the_last_complete_part(tmp_path, monkeypatch):
    monkeypatch.setattr(groups_module, "PART", 2)
    write_part = groups_module.write_part

    def interrupted_write(folder, number, images):
        if number:
            raise KeyboardInterrupt
        write_part(folder, number, images)

    plan = GroupPlan("pose", 3, 2, 1, **SIZE)
    render_groups(tmp_path / "uninterrupted", plan)
    monkeypatch.setattr(groups_module, "write_part", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        render_groups(tmp_path / "resumed", plan)
    monkeypatch.setattr(groups_module, "write_part", write_part)
    steps = []
    render_groups(tmp_path / "resumed", plan, progress=steps.append)
    assert steps == [2, 1]
    expected = load_groups(tmp_path / "uninterrupted").members
    assert load_groups(tmp_path / "resumed").members == expected


def test_render_groups_looks_are_groups_of_one_identity(tmp_path):
    render_groups(tmp_path, GroupPlan("looks", 1, 2, 1, **SIZE))
    assert load_groups(tmp_path).header["kind"] == SAME_IDENTITY


def test_render_groups_refuses_groups_of_one(tmp_path):
    with pytest.raises(UserError, match=r"--members 1: .* a group needs at least 2"):
        render_groups(tmp_path / "x", GroupPlan("pose", 1, 1, 1))

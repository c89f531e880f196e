import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.data.check_groups import check_groups
from reid_gen.data.positive_groups import SAME_IDENTITY, SAME_POSE, load_groups
from reid_gen.errors import UserError
from reid_gen.pedestrians import groups as module
from reid_gen.pedestrians.groups import GroupPlan, draw_group, render_groups
from reid_gen.pedestrians.renderer import Studio
from reid_gen.types import Float32Array

SIZE = {"height": 64, "width": 32}


def joints(studio, take) -> Float32Array:
    posed, view = studio._stand(take.number, take.pose, take.shot.framing)
    return view.screen(posed.joints[0].numpy())[:, :2] / studio.height


def test_members_that_share_a_pose_are_other_people_whose_joints_lie_alike():
    plan = GroupPlan("pose", 3, 3, seed=2, **SIZE)
    studio = Studio(2, 64, 32)
    one, other = draw_group(studio, plan, 0), draw_group(studio, plan, 1)
    assert len({take.number for take in one}) == 3
    within = np.abs(joints(studio, one[0]) - joints(studio, one[1])).mean()
    between = np.abs(joints(studio, one[0]) - joints(studio, other[0])).mean()
    assert within < 0.5 * between


def test_members_that_share_looks_are_one_person_in_other_poses():
    takes = draw_group(Studio(2, 64, 32), GroupPlan("looks", 3, 3, seed=2, **SIZE), 0)
    assert len({take.number for take in takes}) == 1
    assert not np.allclose(takes[0].pose, takes[1].pose)
    assert len({take.shot.framing.yaw for take in takes}) == 3


def test_they_lie_on_disk_as_all_groups_do_and_a_kill_costs_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 2)
    words = ["--share", "pose", "--count", "3", "--members", "2", "--height", "64", "--width", "32"]
    out = ["--out", str(tmp_path / "a"), "--workers", "1", "--sheet", str(tmp_path / "a.png")]
    main(["data", "groups", *words, *out])
    main(["generate", "--out", str(tmp_path / "a"), "--check"])
    whole = load_groups(tmp_path / "a")
    check_groups(whole)
    assert len(whole.members) == 6
    assert whole.header["kind"] == SAME_POSE
    assert (tmp_path / "a.png").exists()
    first, second, _, _, other, _ = (np.array(member.pose) for member in whole.members)
    assert first.shape == (72,)
    assert np.abs(first - second)[3:].max() == 0
    assert np.abs(first - other)[3:].max() > 0.01
    write = module.write_part

    def once(folder, number, made):
        if number:
            raise KeyboardInterrupt
        write(folder, number, made)

    plan = GroupPlan("pose", 3, 2, 1, **SIZE)
    monkeypatch.setattr(module, "write_part", once)
    with pytest.raises(KeyboardInterrupt):
        render_groups(tmp_path / "b", plan)
    monkeypatch.setattr(module, "write_part", write)
    seen = []
    render_groups(tmp_path / "b", plan, progress=seen.append)
    assert seen == [2, 1]
    assert load_groups(tmp_path / "b").members == whole.members
    render_groups(tmp_path / "c", GroupPlan("looks", 1, 2, 1, **SIZE))
    assert load_groups(tmp_path / "c").header["kind"] == SAME_IDENTITY


def test_a_group_of_one_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--members 1: .* a group needs at least 2"):
        render_groups(tmp_path / "x", GroupPlan("pose", 1, 1, 1))

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from reid_gen.body.model import built_in_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.body.render.rasterise import rasterise
from reid_gen.body.render.rasterisers import RASTERISERS
from reid_gen.errors import UserError
from reid_gen.pedestrians.gait import walking_poses
from tests.body.shapes import body_table, project_bodies


@pytest.fixture(scope="module")
def table():
    pose = walking_poses(3, np.random.default_rng(0))
    pose[:, 0] = 0
    return body_table(pose)


def test_renderer_projects_unrotated_bodies_with_their_cameras(table):
    maps = BodyMapRenderer(table, built_in_body(), 64, 32)("silhouette", ("c", "a"), np.zeros(2))
    screen = project_bodies(table.select(("c", "a")), 64, 32)
    expected = rasterise(screen, built_in_body().faces, 64, 32).face >= 0
    for row in range(2):
        assert ((maps[row, 0] > 0) == expected[row]).mean() > 0.998


def test_renderer_mirrors_silhouettes_at_180_degrees(table):
    renderer = BodyMapRenderer(table, built_in_body(), 128, 64)
    front, back = renderer("silhouette", ("a", "a"), np.array([0.0, 180.0]))[:, 0] > 0
    axis = np.nonzero(front)[1].mean() + np.nonzero(back)[1].mean()
    mirrored = np.roll(back[:, ::-1], round(axis) - 63, axis=1)
    assert (front & mirrored).sum() / (front | mirrored).sum() > 0.85


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_renderer_gives_the_same_maps_with_numba_and_torch(table, kind):
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    arguments = (kind, ("a", "b"), np.array([30.0, 250.0]), images)
    by_numba = BodyMapRenderer(table, built_in_body(), 64, 32)(*arguments)
    by_torch = BodyMapRenderer(table, built_in_body(), 64, 32, RASTERISERS["torch"])(*arguments)
    assert by_numba.shape == (2, MAP_KINDS[kind].channels, 64, 32)
    assert np.abs(by_numba - by_torch).mean() < 5e-3


def test_renderer_names_images_without_a_body(table):
    with pytest.raises(UserError, match=r"no body parameters for 1 of 1 images: z"):
        BodyMapRenderer(table, built_in_body(), 64, 32)("grey", ("z",), np.zeros(1))


@pytest.mark.parametrize("axis", ["body", "picture"])
def test_renderer_rotates_bodies_about_the_chosen_axis(table, axis):
    tilt = Rotation.from_euler("x", 30, degrees=True).as_rotvec().astype(np.float32)
    pose = table.pose.copy()
    pose[:, 0] = tilt  # as seen by a camera that looks down
    renderer = BodyMapRenderer(replace(table, pose=pose), built_in_body(), 64, 32, axis=axis)
    unrotated, rotated = renderer.meshes(("a", "a"), np.array([0.0, 90.0])).vertices
    up = Rotation.from_rotvec(tilt).apply([0, 1, 0]) if axis == "body" else np.array([0, 1, 0])
    quarter_turn = Rotation.from_rotvec(np.pi / 2 * up)
    expected = quarter_turn.apply(unrotated - unrotated.mean(0)) + unrotated.mean(0)
    np.testing.assert_allclose(rotated, expected, atol=1e-5)

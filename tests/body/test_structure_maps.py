from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project
from reid_gen.body.model import built_in
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.body.render.rasterise import rasterise
from reid_gen.body.render.rasterisers import RASTERISERS
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.pedestrians.gait import walking_poses


@pytest.fixture(scope="module")
def table():
    pose = walking_poses(3, np.random.default_rng(0)).astype(np.float32)
    pose[:, 0] = 0
    return BodyTable(
        keys=("a", "b", "c"),
        pose=pose,
        shape=np.zeros((3, 10), np.float32),
        camera=np.tile(np.array([0.95, 0, -0.1], np.float32), (3, 1)),
        score=np.ones(3, np.float32),
        size=np.tile([128, 64], (3, 1)),
        source="test",
    )


def test_unturned_maps_show_the_bodies_where_their_cameras_see_them(table):
    found = StructureMaps(table, built_in(), 64, 32)("silhouette", ("c", "a"), np.zeros(2))
    for row, place in enumerate((2, 0)):
        rotation = Rotation.from_rotvec(table.pose[place]).as_matrix()
        with torch.no_grad():
            posed = built_in()(torch.from_numpy(rotation)[None].float(), torch.zeros(1, 10))
        vertices = (posed.vertices - posed.joints[:, :1]).numpy()
        screen = project(vertices, table.camera[place : place + 1], 64, 32)
        wanted = rasterise(screen, built_in().faces, 64, 32).face[0] >= 0
        assert ((found[row, 0] > 0) == wanted).mean() > 0.998


def test_turns_by_half_a_circle_mirror_the_silhouette_about_the_body_axis(table):
    maps = StructureMaps(table, built_in(), 128, 64)
    front, back = maps("silhouette", ("a", "a"), np.array([0.0, 180.0]))[:, 0] > 0
    axis = np.nonzero(front)[1].mean() + np.nonzero(back)[1].mean()
    mirrored = np.roll(back[:, ::-1], round(axis) - 63, axis=1)
    assert (front & mirrored).sum() / (front | mirrored).sum() > 0.85


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_maps_of_every_kind_come_from_every_rasteriser_at_hand(table, kind):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), dtype=np.uint8)
    asked = (kind, ("a", "b"), np.array([30.0, 250.0]), pictures)
    one = StructureMaps(table, built_in(), 64, 32)(*asked)
    two = StructureMaps(table, built_in(), 64, 32, RASTERISERS["torch"])(*asked)
    assert one.shape == (2, MAP_KINDS[kind].channels, 64, 32)
    assert np.abs(one - two).mean() < 5e-3


def test_an_image_without_a_body_is_named(table):
    with pytest.raises(UserError, match=r"no body parameters for 1 of 1 images: z"):
        StructureMaps(table, built_in(), 64, 32)("grey", ("z",), np.zeros(1))


@pytest.mark.parametrize("axis", ["body", "picture"])
def test_structure_maps_turn_bodies_about_the_axis(table, axis):
    down = Rotation.from_euler("x", 30, degrees=True).as_rotvec().astype(np.float32)
    pose = table.pose.copy()
    pose[:, 0] = down  # as a camera sees people that looks down on them
    maps = StructureMaps(replace(table, pose=pose), built_in(), 64, 32, axis=axis)
    here, there = maps.meshes(("a", "a"), np.array([0.0, 90.0])).vertices
    lean = Rotation.from_rotvec(down).apply([0, 1, 0])
    about = Rotation.from_rotvec(np.pi / 2 * (lean if axis == "body" else np.array([0, 1, 0])))
    wanted = about.apply(here - here.mean(0)) + here.mean(0)
    np.testing.assert_allclose(there, wanted, atol=1e-5)

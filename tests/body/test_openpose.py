import numpy as np
import pytest
import torch

from reid_gen.body.camera import project, turned
from reid_gen.body.model import built_in
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.body.render.openpose import COLOURS, LIMBS, POINTS, draw_skeletons, openpose_points
from reid_gen.generators.stable_diffusion.control_images import CONDITIONS

HEIGHT, WIDTH = 256, 128


def mesh(*degrees):
    body = built_in()
    posed = body(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, body.shapes))
    vertices = (posed.vertices - posed.joints[:, :1]).numpy().repeat(len(degrees), 0)
    vertices = turned(vertices, np.array(degrees, np.float32))
    camera = np.tile(np.array([0.9, 0, 0.1], np.float32), (len(degrees), 1))
    return Mesh(
        vertices, project(vertices, camera, HEIGHT, WIDTH), body.faces, body.arrays.skinning
    )


def points(*degrees):
    found, seen = openpose_points(mesh(*degrees), built_in().arrays)
    return [dict(zip(POINTS, one, strict=True)) for one in found], [
        {name for name, there in zip(POINTS, one, strict=True) if there} for one in seen
    ]


def test_points_of_a_body_that_faces_the_camera_lie_as_openpose_names_them():
    (at,), (seen,) = points(0)
    assert seen == set(POINTS)
    for part in ("shoulder", "hip", "knee", "ankle", "wrist", "eye", "ear"):
        # The person's left is on the right of the picture.
        assert at[f"left_{part}"][0] > at[f"right_{part}"][0]
    down = ("right_eye", "nose", "neck", "right_hip", "right_knee", "right_ankle")
    assert np.all(np.diff([at[name][1] for name in down]) > 0)
    assert at["neck"] == pytest.approx((at["left_shoulder"] + at["right_shoulder"]) / 2)
    assert at["right_ear"][0] < at["right_eye"][0] < at["nose"][0] < at["left_eye"][0]


def test_a_face_that_looks_away_is_not_drawn_and_half_of_it_is_in_profile():
    _, (behind, side) = points(180, 90)
    assert not {"nose", "right_eye", "left_eye"} & behind
    assert {"neck", "left_knee"} <= behind
    assert "nose" in side
    assert len({"right_ear", "left_ear"} & side) == 1


def test_limbs_and_points_have_openposes_colours():
    assert len(LIMBS) == 17
    assert COLOURS[:4] == ((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0))
    assert COLOURS[12] == (0, 0, 255)
    picture = draw_skeletons(mesh(0), built_in().arrays, HEIGHT, WIDTH)[0]
    found, _ = openpose_points(mesh(0), built_in().arrays)
    for number, (x, y) in enumerate(found[0].round().astype(int)):
        if "ear" not in POINTS[number] and 0 <= x < WIDTH:
            assert tuple(picture[y, x]) == COLOURS[number]
    elbow, wrist = found[0][3], found[0][4]
    x, y = ((elbow + wrist) / 2).round().astype(int)
    if 0 <= x < WIDTH:
        assert tuple(picture[y, x]) == tuple(int(0.6 * part) for part in COLOURS[3])


def test_depth_is_white_where_near_and_normals_are_as_normal_bae_draws_them():
    body = mesh(0)
    arrays = built_in().arrays
    depth = CONDITIONS["depth"](body, arrays, HEIGHT, WIDTH)[0]
    assert depth.shape == (HEIGHT, WIDTH, 3)
    assert depth[0, 0].tolist() == [0, 0, 0]
    assert depth.max() > 200
    normal = CONDITIONS["normal"](body, arrays, HEIGHT, WIDTH)[0].astype(int)
    inside = depth[..., 0] > 0
    columns = np.arange(WIDTH)
    left = inside & (columns < np.median(columns[inside.any(0)]) - 12)
    right = inside & (columns > np.median(columns[inside.any(0)]) + 12)
    assert normal[left][:, 0].mean() > normal[right][:, 0].mean() + 20  # red is left
    assert normal[inside][:, 2].mean() > 190  # blue is towards the camera
    assert normal[0, 0].tolist() == [0, 0, 0]

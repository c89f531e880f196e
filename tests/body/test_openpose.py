import numpy as np
import pytest
import torch

from reid_gen.body.camera import project, rotate_bodies
from reid_gen.body.model import built_in_body
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.body.render.openpose import (
    COLOURS,
    KEYPOINTS,
    LIMBS,
    draw_skeletons,
    openpose_keypoints,
)
from reid_gen.generators.stable_diffusion.control_images import CONTROL_IMAGES

HEIGHT, WIDTH = 256, 128


def mesh(*degrees):
    """Build meshes of the T-posed body, rotated by the given angles."""
    body = built_in_body()
    posed = body(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, body.num_betas))
    vertices = (posed.vertices - posed.joints[:, :1]).numpy().repeat(len(degrees), 0)
    vertices = rotate_bodies(vertices, np.array(degrees, np.float32))
    camera = np.tile(np.array([0.9, 0, 0.1], np.float32), (len(degrees), 1))
    return Mesh(
        vertices, project(vertices, camera, HEIGHT, WIDTH), body.faces, body.arrays.skinning
    )


def keypoints_and_visible_names(*degrees):
    keypoints, visible = openpose_keypoints(mesh(*degrees), built_in_body().arrays)
    positions = [dict(zip(KEYPOINTS, row, strict=True)) for row in keypoints]
    return positions, [
        {name for name, flag in zip(KEYPOINTS, row, strict=True) if flag} for row in visible
    ]


def test_openpose_keypoints_of_a_frontal_body():
    (position,), (visible,) = keypoints_and_visible_names(0)
    assert visible == set(KEYPOINTS)
    for part in ("shoulder", "hip", "knee", "ankle", "wrist", "eye", "ear"):
        # The person's left is on the right of the image.
        assert position[f"left_{part}"][0] > position[f"right_{part}"][0]
    downwards = ("right_eye", "nose", "neck", "right_hip", "right_knee", "right_ankle")
    assert np.all(np.diff([position[name][1] for name in downwards]) > 0)
    shoulders = position["left_shoulder"] + position["right_shoulder"]
    assert position["neck"] == pytest.approx(shoulders / 2)
    rightwards = ("right_ear", "right_eye", "nose", "left_eye")
    assert np.all(np.diff([position[name][0] for name in rightwards]) > 0)


def test_openpose_keypoints_hide_averted_faces():
    _, (back_view, profile) = keypoints_and_visible_names(180, 90)
    assert not {"nose", "right_eye", "left_eye"} & back_view
    assert {"neck", "left_knee"} <= back_view
    assert "nose" in profile
    assert len({"right_ear", "left_ear"} & profile) == 1


def test_draw_skeletons_uses_openpose_colours():
    assert len(LIMBS) == 17
    assert COLOURS[:4] == ((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0))
    assert COLOURS[12] == (0, 0, 255)
    image = draw_skeletons(mesh(0), built_in_body().arrays, HEIGHT, WIDTH)[0]
    (keypoints,), _ = openpose_keypoints(mesh(0), built_in_body().arrays)
    for keypoint, (x, y) in enumerate(keypoints.round().astype(int)):
        if "ear" not in KEYPOINTS[keypoint] and 0 <= x < WIDTH:
            assert tuple(image[y, x]) == COLOURS[keypoint]
    elbow, wrist = keypoints[3], keypoints[4]
    x, y = ((elbow + wrist) / 2).round().astype(int)
    if 0 <= x < WIDTH:
        assert tuple(image[y, x]) == tuple(int(0.6 * value) for value in COLOURS[3])


def test_control_images_follow_depth_and_normal_conventions():
    body = mesh(0)
    arrays = built_in_body().arrays
    depth = CONTROL_IMAGES["depth"](body, arrays, HEIGHT, WIDTH)[0]
    assert depth.shape == (HEIGHT, WIDTH, 3)
    assert depth[0, 0].tolist() == [0, 0, 0]
    assert depth.max() > 200
    normal = CONTROL_IMAGES["normal"](body, arrays, HEIGHT, WIDTH)[0].astype(int)
    inside = depth[..., 0] > 0
    columns = np.arange(WIDTH)
    left = inside & (columns < np.median(columns[inside.any(0)]) - 12)
    right = inside & (columns > np.median(columns[inside.any(0)]) + 12)
    assert normal[left][:, 0].mean() > normal[right][:, 0].mean() + 20  # red is left
    assert normal[inside][:, 2].mean() > 190  # blue is towards the camera
    assert normal[0, 0].tolist() == [0, 0, 0]

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project, turned, upright
from reid_gen.body.render.map_kinds import MAP_KINDS, Mesh, draw_structure
from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import interpolate, rasterise
from reid_gen.errors import UserError
from tests.body.shapes import ball
from tests.reference import raster

HEIGHT, WIDTH = 24, 16


def random_mesh(seed, faces=12):
    rng = np.random.default_rng(seed)
    low, high = np.array([-4, -4, 1]), np.array([WIDTH + 4, HEIGHT + 4, 5])
    screen = rng.uniform(low, high, (3 * faces, 3)).astype(np.float32)
    return screen, np.arange(3 * faces).reshape(-1, 3).astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_every_pixel_against_every_face(seed):
    screen, faces = random_mesh(seed)
    face, weights, depth = raster.rasterise(screen, faces, HEIGHT, WIDTH)
    found = rasterise(screen[None], faces, HEIGHT, WIDTH)
    # A pixel's centre on an edge may fall to either side by rounding.
    settled = np.abs(weights).min(-1) > 1e-4
    settled |= face < 0
    same = found.face[0] == face
    assert same[settled].mean() > 0.995
    both = same & (face >= 0)
    np.testing.assert_allclose(found.barycentric[0][both], weights[both], atol=1e-3)
    np.testing.assert_allclose(found.depth[0][both], depth[both], atol=1e-3)
    assert np.isinf(found.depth[0][found.face[0] < 0]).all()


def test_of_two_faces_at_one_depth_the_first_wins():
    screen = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 1, 2]], np.int32)
    assert set(np.unique(rasterise(screen[None], faces, 8, 8).face)) == {-1, 0}


def test_a_closed_surface_has_no_holes():
    vertices, faces = ball()
    screen = vertices * 30 + 32
    seen = rasterise(screen[None], faces, 64, 64).face[0] >= 0
    down, across = np.mgrid[:64, :64] + 0.5
    assert seen[(across - 32) ** 2 + (down - 32) ** 2 < 28**2].all()


def test_threads_draw_the_same():
    screens = [random_mesh(seed, faces=200)[0][None] for seed in range(16)]
    faces = random_mesh(0, faces=200)[1]
    alone = [rasterise(screen, faces, 64, 32).face for screen in screens]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda screen: rasterise(screen, faces, 64, 32).face, screens))
    np.testing.assert_array_equal(alone, together)


def test_values_are_interpolated_linearly_on_the_screen():
    screen = np.array([[0, 0, 1], [16, 0, 1], [0, 16, 1]], np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    fragments = rasterise(screen[None], faces, 16, 16)
    found = interpolate(fragments, faces, screen[:, :2])[0]
    inside = fragments.face[0] >= 0
    down, across = np.mgrid[:16, :16] + 0.5
    np.testing.assert_allclose(found[inside], np.stack([across, down], -1)[inside], atol=1e-4)
    assert (found[~inside] == 0).all()


@pytest.mark.parametrize(
    ("screen", "faces", "message"),
    [
        (np.zeros((3, 3)), np.zeros((1, 3)), r"expected \[B, V, 3\] and \[F, 3\]"),
        (np.full((1, 3, 3), np.nan), np.zeros((1, 3)), "vertices must be finite"),
        (np.zeros((1, 3, 3)), np.full((1, 3), 3), r"outside 0\.\.2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(screen, faces, message):
    with pytest.raises(ValueError, match=message):
        rasterise(screen.astype(np.float32), faces.astype(np.int32), 8, 8)


def test_normals_equal_the_definition_and_point_out_of_a_ball():
    vertices, faces = ball()
    found = vertex_normals(vertices[None], faces)[0]
    np.testing.assert_allclose(found, raster.vertex_normals(vertices, faces), atol=1e-5)
    np.testing.assert_allclose(found, vertices, atol=0.05)


def test_projection_equals_its_formula_also_for_a_stretched_image():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 5, 3)).astype(np.float32)
    camera = np.array([[0.9, 0.05, -0.1], [1.1, 0, 0.2]], np.float32)
    size = np.array([[100, 40], [128, 64]])
    found = project(points, camera, 128, 64, size)
    for b in range(2):
        rows, columns = size[b]
        scale, shift_x, shift_y = camera[b]
        for v in range(5):
            x = columns / 2 + rows / 2 * (scale * points[b, v, 0] + shift_x)
            y = rows / 2 + rows / 2 * (shift_y - scale * points[b, v, 1])
            wanted = [x * 64 / columns, y * 128 / rows, -points[b, v, 2]]
            np.testing.assert_allclose(found[b, v], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("degrees", "nose"), [(0, (-1, 0)), (90, (0, 1)), (180, (1, 0)), (270, (0, -1))]
)
def test_who_walks_to_the_left_faces_the_camera_at_90(degrees, nose):
    body = np.array([[[-0.2, 1.6, 0], [0.2, 1.6, 0], [0, 0, 0.1], [0, 0, -0.1]]], np.float32)
    around = turned(body, np.array([degrees]))
    np.testing.assert_allclose(around[0, 0, [0, 2]], 0.2 * np.array(nose), atol=1e-6)
    np.testing.assert_allclose(around.mean(1), body.mean(1), atol=1e-6)


def test_a_camera_that_looks_down_sees_people_upright_from_all_sides():
    tilt = Rotation.from_rotvec([0.4, 0, 0])
    standing = np.array([[0, 1, 0], [0, -1, 0], [0.2, 0, 0], [-0.2, 0, 0]])
    points = np.repeat(tilt.apply(standing)[None], 4, axis=0).astype(np.float32)
    pose = np.zeros((4, 24, 3))
    pose[:, 0] = tilt.as_rotvec()
    around = turned(points, np.array([0, 90, 180, 270]), upright(pose))
    np.testing.assert_allclose(around[:, :2], points[:, :2], atol=1e-6)
    np.testing.assert_allclose(around[2, 2], points[2, 3], atol=1e-6)


def ball_mesh():
    vertices, faces = ball()
    screen = (vertices * [20, -20, -20] + [32, 32, 100]).astype(np.float32)
    skinning = np.zeros((len(vertices), 24), np.float32)
    skinning[:, 0] = np.clip(0.5 + vertices[:, 1], 0, 1)
    skinning[:, 7] = 1 - skinning[:, 0]
    colours = np.clip(vertices, -1, 1)[None].astype(np.float32)
    return Mesh(vertices[None], screen[None], faces, skinning, colours)


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_maps_have_their_channels_and_lie_between_minus_one_and_one(kind):
    drawn = draw_structure(ball_mesh(), kind, 64, 64)
    assert drawn.shape == (1, MAP_KINDS[kind].channels, 64, 64)
    assert drawn.dtype == np.float32
    assert drawn.min() >= -1
    assert drawn.max() <= 1


def test_all_kinds_agree_where_the_body_is():
    inside = draw_structure(ball_mesh(), "silhouette", 64, 64)[0, 0] > 0
    outside = {"grey": 1.0, "depth": -1.0, "normals": 0.0, "parts": -1.0, "silhouette": -1.0}
    outside["painted"] = -1.0
    for kind, value in outside.items():
        assert MAP_KINDS[kind].background == value
        drawn = draw_structure(ball_mesh(), kind, 64, 64)[0]
        assert (drawn[:, ~inside] == value).all()
        assert (drawn[:, inside] != value).any(0).all()


def test_the_middle_of_a_ball_is_nearest_and_looks_at_the_camera():
    depth = draw_structure(ball_mesh(), "depth", 64, 64)[0, 0]
    assert depth[32, 32] > depth.max() - 1e-4
    assert depth[32, 14] < depth[32, 24] < depth[32, 32]
    normals = draw_structure(ball_mesh(), "normals", 64, 64)[0]
    np.testing.assert_allclose(normals[:, 32, 32], [0, 0, 1], atol=0.1)
    np.testing.assert_allclose(normals[:, 32, 46], [0.7, 0, 0.7], atol=0.1)


def test_parts_have_one_colour_each():
    drawn = draw_structure(ball_mesh(), "parts", 64, 64)[0]
    upper, lower = drawn[:, 20, 32], drawn[:, 44, 32]
    assert (upper != lower).any()
    inside = draw_structure(ball_mesh(), "silhouette", 64, 64)[0, 0] > 0
    assert len(np.unique(drawn[:, inside].T, axis=0)) == 2
    # Borders follow the weights, not the vertices: they are straight.
    middle = np.abs(np.mgrid[:64, :64][0] - 31.5) < 1
    assert (drawn[:, inside & ~middle & (np.mgrid[:64, :64][0] < 31)] == upper[:, None]).all()


def test_an_unknown_kind_is_named():
    with pytest.raises(UserError, match="unknown structure map 'wire'; known: grey, depth, norm"):
        draw_structure(ball_mesh(), "wire", 8, 8)

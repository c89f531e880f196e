from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import pelvis_up_axis, project, rotate_bodies
from reid_gen.body.render.map_kinds import MAP_KINDS, Mesh, render_body_maps
from reid_gen.body.render.normals import vertex_normals
from reid_gen.body.render.rasterise import interpolate, rasterise
from reid_gen.errors import UserError
from tests.body.shapes import sphere
from tests.reference import raster

HEIGHT, WIDTH = 24, 16


def random_mesh(seed, faces=12):
    rng = np.random.default_rng(seed)
    low, high = np.array([-4, -4, 1]), np.array([WIDTH + 4, HEIGHT + 4, 5])
    screen = rng.uniform(low, high, (3 * faces, 3)).astype(np.float32)
    return screen, np.arange(3 * faces).reshape(-1, 3).astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
def test_rasterise_equals_the_reference_loop(seed):
    screen, faces = random_mesh(seed)
    face, weights, depth = raster.rasterise(screen, faces, HEIGHT, WIDTH)
    fragments = rasterise(screen[None], faces, HEIGHT, WIDTH)
    # Rounding decides the face of a pixel whose centre lies on an edge.
    unambiguous = (np.abs(weights).min(-1) > 1e-4) | (face < 0)
    same_face = fragments.face[0] == face
    assert same_face[unambiguous].mean() > 0.995
    inside = same_face & (face >= 0)
    np.testing.assert_allclose(fragments.barycentric[0][inside], weights[inside], atol=1e-3)
    np.testing.assert_allclose(fragments.depth[0][inside], depth[inside], atol=1e-3)
    assert np.isinf(fragments.depth[0][fragments.face[0] < 0]).all()


def test_rasterise_prefers_the_first_face_at_equal_depth():
    screen = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 1, 2]], np.int32)
    assert set(np.unique(rasterise(screen[None], faces, 8, 8).face)) == {-1, 0}


def test_rasterise_leaves_no_holes_in_a_closed_surface():
    vertices, faces = sphere()
    screen = vertices * 30 + 32
    inside = rasterise(screen[None], faces, 64, 64).face[0] >= 0
    y, x = np.mgrid[:64, :64] + 0.5
    assert inside[(x - 32) ** 2 + (y - 32) ** 2 < 28**2].all()


def test_rasterise_is_thread_safe():
    screens = [random_mesh(seed, faces=200)[0][None] for seed in range(16)]
    faces = random_mesh(0, faces=200)[1]
    sequential = [rasterise(screen, faces, 64, 32).face for screen in screens]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda screen: rasterise(screen, faces, 64, 32).face, screens))
    np.testing.assert_array_equal(sequential, threaded)


def test_interpolate_is_linear_in_screen_space():
    screen = np.array([[0, 0, 1], [16, 0, 1], [0, 16, 1]], np.float32)
    faces = np.array([[0, 1, 2]], np.int32)
    fragments = rasterise(screen[None], faces, 16, 16)
    values = interpolate(fragments, faces, screen[:, :2])[0]
    inside = fragments.face[0] >= 0
    y, x = np.mgrid[:16, :16] + 0.5
    np.testing.assert_allclose(values[inside], np.stack([x, y], -1)[inside], atol=1e-4)
    assert (values[~inside] == 0).all()


@pytest.mark.parametrize(
    ("screen", "faces", "message"),
    [
        (np.zeros((3, 3)), np.zeros((1, 3)), r"expected \[B, V, 3\] and \[F, 3\]"),
        (np.full((1, 3, 3), np.nan), np.zeros((1, 3)), "vertices must be finite"),
        (np.zeros((1, 3, 3)), np.full((1, 3), 3), r"outside 0\.\.2"),
    ],
)
def test_rasterise_rejects_invalid_input(screen, faces, message):
    with pytest.raises(ValueError, match=message):
        rasterise(screen.astype(np.float32), faces.astype(np.int32), 8, 8)


def test_vertex_normals_equal_the_reference_on_a_sphere():
    vertices, faces = sphere()
    normals = vertex_normals(vertices[None], faces)[0]
    np.testing.assert_allclose(normals, raster.vertex_normals(vertices, faces), atol=1e-5)
    np.testing.assert_allclose(normals, vertices, atol=0.05)


def test_project_equals_its_formula_for_a_resized_image():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 5, 3)).astype(np.float32)
    camera = np.array([[0.9, 0.05, -0.1], [1.1, 0, 0.2]], np.float32)
    size = np.array([[100, 40], [128, 64]])
    screen = project(points, camera, 128, 64, size)
    for b in range(2):
        h, w = size[b]
        s, t_x, t_y = camera[b]
        for v in range(5):
            x = w / 2 + h / 2 * (s * points[b, v, 0] + t_x)
            y = h / 2 + h / 2 * (t_y - s * points[b, v, 1])
            expected = [x * 64 / w, y * 128 / h, -points[b, v, 2]]
            np.testing.assert_allclose(screen[b, v], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("degrees", "nose"), [(0, (-1, 0)), (90, (0, 1)), (180, (1, 0)), (270, (0, -1))]
)
def test_rotate_bodies_turns_left_walkers_to_the_camera_at_90(degrees, nose):
    body = np.array([[[-0.2, 1.6, 0], [0.2, 1.6, 0], [0, 0, 0.1], [0, 0, -0.1]]], np.float32)
    rotated = rotate_bodies(body, np.array([degrees]))
    np.testing.assert_allclose(rotated[0, 0, [0, 2]], 0.2 * np.array(nose), atol=1e-6)
    np.testing.assert_allclose(rotated.mean(1), body.mean(1), atol=1e-6)


def test_rotate_bodies_keeps_people_upright_in_a_tilted_camera():
    tilt = Rotation.from_rotvec([0.4, 0, 0])
    standing = np.array([[0, 1, 0], [0, -1, 0], [0.2, 0, 0], [-0.2, 0, 0]])
    points = np.repeat(tilt.apply(standing)[None], 4, axis=0).astype(np.float32)
    pose = np.zeros((4, 24, 3))
    pose[:, 0] = tilt.as_rotvec()
    rotated = rotate_bodies(points, np.array([0, 90, 180, 270]), pelvis_up_axis(pose))
    np.testing.assert_allclose(rotated[:, :2], points[:, :2], atol=1e-6)
    np.testing.assert_allclose(rotated[2, 2], points[2, 3], atol=1e-6)


def sphere_mesh():
    vertices, faces = sphere()
    screen = (vertices * [20, -20, -20] + [32, 32, 100]).astype(np.float32)
    skinning = np.zeros((len(vertices), 24), np.float32)
    skinning[:, 0] = np.clip(0.5 + vertices[:, 1], 0, 1)
    skinning[:, 7] = 1 - skinning[:, 0]
    colours = np.clip(vertices, -1, 1)[None].astype(np.float32)
    return Mesh(vertices[None], screen[None], faces, skinning, colours)


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_render_body_maps_returns_channels_in_range(kind):
    maps = render_body_maps(sphere_mesh(), kind, 64, 64)
    assert maps.shape == (1, MAP_KINDS[kind].channels, 64, 64)
    assert maps.dtype == np.float32
    assert maps.min() >= -1
    assert maps.max() <= 1


def test_render_body_maps_covers_the_same_pixels_in_all_kinds():
    inside = render_body_maps(sphere_mesh(), "silhouette", 64, 64)[0, 0] > 0
    backgrounds = {
        **{"grey": 1.0, "depth": -1.0, "normals": 0.0},
        **{"parts": -1.0, "silhouette": -1.0, "painted": -1.0},
    }
    for kind, background in backgrounds.items():
        assert MAP_KINDS[kind].background == background
        body_map = render_body_maps(sphere_mesh(), kind, 64, 64)[0]
        assert (body_map[:, ~inside] == background).all()
        assert (body_map[:, inside] != background).any(0).all()


def test_render_body_maps_depth_and_normals_of_a_sphere():
    depth = render_body_maps(sphere_mesh(), "depth", 64, 64)[0, 0]
    assert depth[32, 32] > depth.max() - 1e-4
    assert depth[32, 14] < depth[32, 24] < depth[32, 32]
    normals = render_body_maps(sphere_mesh(), "normals", 64, 64)[0]
    np.testing.assert_allclose(normals[:, 32, 32], [0, 0, 1], atol=0.1)
    np.testing.assert_allclose(normals[:, 32, 46], [0.7, 0, 0.7], atol=0.1)


def test_render_body_maps_gives_each_part_one_colour():
    parts = render_body_maps(sphere_mesh(), "parts", 64, 64)[0]
    upper, lower = parts[:, 20, 32], parts[:, 44, 32]
    assert (upper != lower).any()
    inside = render_body_maps(sphere_mesh(), "silhouette", 64, 64)[0, 0] > 0
    assert len(np.unique(parts[:, inside].T, axis=0)) == 2
    # Part borders follow the interpolated weights, not the vertices, so they are straight.
    y = np.mgrid[:64, :64][0]
    border = np.abs(y - 31.5) < 1
    assert (parts[:, inside & ~border & (y < 31)] == upper[:, None]).all()


def test_render_body_maps_names_an_unknown_kind():
    with pytest.raises(UserError, match="unknown body map 'wire'; known: grey, depth, norm"):
        render_body_maps(sphere_mesh(), "wire", 8, 8)

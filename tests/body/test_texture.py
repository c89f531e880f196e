import numpy as np
import pytest

from reid_gen.body.model import built_in_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.rasterise import Fragments, rasterise
from reid_gen.body.render.texture import (
    DEPTH_WEIGHT,
    MIRROR_PENALTY,
    NUM_SIMILAR,
    sample_vertex_colours,
    similar_vertices,
)
from tests.body.shapes import body_table


@pytest.fixture
def renderer():
    """Two images of the same T-posed body that faces the camera."""
    return BodyMapRenderer(body_table(np.zeros((2, 24, 3))), built_in_body(), 128, 64)


def test_sample_vertex_colours_averages_pixels_by_weight():
    rng = np.random.default_rng(0)
    screen = rng.uniform(0, 12, (2, 6, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [3, 4, 1], [2, 4, 0]], np.int32)
    fragments = rasterise(screen, faces, 12, 10)
    images = rng.integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
    colours = sample_vertex_colours(images, fragments, faces, np.arange(6)[:, None])
    for body in range(2):
        for vertex in range(5):  # the sixth belongs to no face
            total, weight = np.zeros(3), 0.0
            for row, column in zip(*np.nonzero(fragments.face[body] >= 0), strict=True):
                corners = faces[fragments.face[body, row, column]].tolist()
                if vertex in corners:
                    share = fragments.barycentric[body, row, column, corners.index(vertex)]
                    total += share * (images[body, row, column] / 127.5 - 1)
                    weight += share
            if weight > 0.05:
                np.testing.assert_allclose(colours[body, vertex], total / weight, atol=1e-5)


def test_sample_vertex_colours_fills_hidden_vertices():
    faces = np.array([[0, 1, 2]], np.int32)
    fragments = Fragments(
        np.zeros((1, 1, 3), np.int32), np.eye(3, dtype=np.float32)[None, None], np.zeros((1, 1, 3))
    )
    images = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], np.uint8)
    similar = np.array([[0, 0], [1, 1], [2, 2], [4, 1], [5, 3]])
    colours = sample_vertex_colours(images, fragments, faces, similar)[0]
    np.testing.assert_allclose(colours[3], [-1, 1, -1])  # vertex 4 is hidden too, 1 is visible
    np.testing.assert_allclose(colours[4], colours[:3].mean(0))  # no similar vertex is visible


def test_similar_vertices_equals_the_definition():
    rng = np.random.default_rng(1)
    template = rng.normal(size=(40, 3)).astype(np.float32)
    centred = template - [template[:, 0].mean(), 0, 0]
    ranked = similar_vertices(template)
    assert ranked.shape == (40, min(40, NUM_SIMILAR))
    for vertex in range(40):
        distances = []
        for other in range(40):
            direct = centred[vertex] - centred[other]
            mirrored = centred[vertex] - centred[other] * [-1, 1, 1]
            weight = np.array([1, 1, DEPTH_WEIGHT])
            lengths = [np.sqrt((weight * d**2).sum()) for d in (direct, mirrored)]
            distances.append(min(lengths[0], lengths[1] + MIRROR_PENALTY))
        np.testing.assert_array_equal(ranked[vertex][:5], np.argsort(distances)[:5])


def test_sample_vertex_colours_leaves_invisible_bodies_grey():
    fragments = Fragments(
        np.full((1, 4, 4), -1, np.int32), np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4))
    )
    images = np.full((1, 4, 4, 3), 255, np.uint8)
    faces = np.array([[0, 1, 2]], np.int32)
    similar = np.zeros((3, 1), np.int64)
    assert (sample_vertex_colours(images, fragments, faces, similar) == 0).all()


def test_painted_maps_reproduce_the_image_and_keep_its_colours(renderer):
    gradient = np.linspace(0, 255, 128).astype(np.uint8)
    image = np.broadcast_to(gradient[:, None, None], (128, 64, 3)).copy()
    image[..., 0] = 200
    images = np.stack([image, 255 - image])
    degrees = np.array([0.0, 0.0], np.float32)
    front = renderer("painted", ("a", "b"), degrees, images)
    silhouette = front[:, 3] > 0
    expected = np.moveaxis(images / 127.5 - 1, -1, 1)
    for row in range(2):
        error = np.abs(front[row, :3] - expected[row])[:, silhouette[row]]
        assert error.mean() < 0.03
    back = renderer("painted", ("a", "b"), degrees + 180, images)
    for row in range(2):
        error = np.abs(back[row, :3] - expected[row])[:, back[row, 3] > 0]
        assert error.mean() < 0.1  # colours depend on height only, so front and back agree
    assert (np.moveaxis(front, 1, -1)[~silhouette] == -1).all()

import numpy as np
import pytest

from reid_gen.body.model import built_in
from reid_gen.body.render.rasterise import Fragments, rasterise
from reid_gen.body.render.structure_maps import StructureMaps
from reid_gen.body.render.texture import ACROSS, NEAREST, THROUGH, look_alikes, paint
from reid_gen.body.table import BodyTable


@pytest.fixture
def maps():
    """One person who stands and looks at the camera, twice."""
    table = BodyTable(
        keys=("a", "b"),
        pose=np.tile(np.array([[np.pi, 0, 0]] + [[0, 0, 0]] * 23, np.float32), (2, 1, 1)),
        shape=np.zeros((2, 10), np.float32),
        camera=np.tile(np.array([0.95, 0, -0.1], np.float32), (2, 1)),
        score=np.ones(2, np.float32),
        size=np.tile([128, 64], (2, 1)),
        source="test",
    )
    return StructureMaps(table, built_in(), 128, 64)


def test_vertices_take_the_mean_of_their_pixels_by_their_weights():
    rng = np.random.default_rng(0)
    screen = rng.uniform(0, 12, (2, 6, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [3, 4, 1], [2, 4, 0]], np.int32)
    fragments = rasterise(screen, faces, 12, 10)
    pictures = rng.integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
    found = paint(pictures, fragments, faces, np.arange(6)[:, None])
    for body in range(2):
        for vertex in range(5):  # nothing shows the sixth
            total, weight = np.zeros(3), 0.0
            for row, column in zip(*np.nonzero(fragments.face[body] >= 0), strict=True):
                corners = faces[fragments.face[body, row, column]].tolist()
                if vertex in corners:
                    share = fragments.barycentric[body, row, column, corners.index(vertex)]
                    total += share * (pictures[body, row, column] / 127.5 - 1)
                    weight += share
            if weight > 0.05:
                np.testing.assert_allclose(found[body, vertex], total / weight, atol=1e-5)


def test_hidden_vertices_take_the_colour_of_the_likeliest_that_is_seen():
    faces = np.array([[0, 1, 2]], np.int32)
    fragments = Fragments(
        np.zeros((1, 1, 3), np.int32), np.eye(3, dtype=np.float32)[None, None], np.zeros((1, 1, 3))
    )
    pictures = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], np.uint8)
    alike = np.array([[0, 0], [1, 1], [2, 2], [4, 1], [5, 3]])
    found = paint(pictures, fragments, faces, alike)[0]
    np.testing.assert_allclose(found[3], [-1, 1, -1])  # 4 is hidden itself
    np.testing.assert_allclose(found[4], found[:3].mean(0))  # nothing like it is seen


def test_likeness_is_distance_with_less_depth_and_either_side():
    rng = np.random.default_rng(1)
    template = rng.normal(size=(40, 3)).astype(np.float32)
    middle = template - [template[:, 0].mean(), 0, 0]
    found = look_alikes(template)
    assert found.shape == (40, min(40, NEAREST))
    for vertex in range(40):
        apart = []
        for other in range(40):
            straight = middle[vertex] - middle[other]
            crossed = middle[vertex] - middle[other] * [-1, 1, 1]
            weight = np.array([1, 1, THROUGH])
            lengths = [np.sqrt((weight * d**2).sum()) for d in (straight, crossed)]
            apart.append(min(lengths[0], lengths[1] + ACROSS))
        np.testing.assert_array_equal(found[vertex][:5], np.argsort(apart)[:5])


def test_a_body_that_is_not_seen_is_grey():
    fragments = Fragments(
        np.full((1, 4, 4), -1, np.int32), np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4))
    )
    pictures = np.full((1, 4, 4, 3), 255, np.uint8)
    faces = np.array([[0, 1, 2]], np.int32)
    assert (paint(pictures, fragments, faces, np.zeros((3, 1), np.int64)) == 0).all()


def test_unturned_the_map_is_the_picture_and_turned_it_keeps_its_colours(maps):
    rows = np.linspace(0, 255, 128).astype(np.uint8)
    picture = np.broadcast_to(rows[:, None, None], (128, 64, 3)).copy()
    picture[..., 0] = 200
    pictures = np.stack([picture, 255 - picture])
    degrees = np.array([0.0, 0.0], np.float32)
    here = maps("painted", ("a", "b"), degrees, pictures)
    body = here[:, 3] > 0
    wanted = np.moveaxis(pictures / 127.5 - 1, -1, 1)
    for row in range(2):
        error = np.abs(here[row, :3] - wanted[row])[:, body[row]]
        assert error.mean() < 0.03
    back = maps("painted", ("a", "b"), degrees + 180, pictures)
    for row in range(2):
        turned = back[row, 3] > 0
        error = np.abs(back[row, :3] - wanted[row])[:, turned]
        assert error.mean() < 0.1  # front and back are at the same height
    assert (np.moveaxis(here, 1, -1)[~body] == -1).all()

from dataclasses import replace

import numpy as np
import pytest

from reid_gen.body.model import built_in_body
from reid_gen.pedestrians.garments import BAG, BODY, BOTTOM, HAIR, TOP, Landmarks, dress
from reid_gen.pedestrians.people import COLOUR_GROUP, sample_person
from reid_gen.pedestrians.texture import surface_albedo

PLAIN = {"pattern": "plain", "logo": "none", "bag": "none", "hair": "short", "top": "tee"}


@pytest.fixture(scope="module")
def body():
    return built_in_body().arrays


def make_person(body, **changes):
    return replace(sample_person(1, 0, body.shape_samples), **changes)


def materials(body, **changes):
    return set(dress(body, make_person(body, **PLAIN | changes)).material.tolist())


def test_sample_person_depends_on_seed_and_index_alone(body):
    first, second = (sample_person(4, 7, body.shape_samples) for _ in range(2))
    assert repr(first) == repr(second)
    assert repr(first) != repr(sample_person(4, 8, body.shape_samples))


def test_sample_person_gives_some_groups_the_same_colours(body):
    people = [sample_person(1, index, body.shape_samples) for index in range(60)]
    same = [
        np.array_equal(a.colours.top, b.colours.top)
        for a, b in zip(people[::COLOUR_GROUP], people[1::COLOUR_GROUP], strict=True)
    ]
    assert 0 < sum(same) < len(same)


def test_dress_adds_thickness_except_on_the_hands(body):
    clothed = dress(body, make_person(body, **PLAIN))
    offset = clothed.arrays.template[: len(body.template)] - body.template
    thickness = np.linalg.norm(offset, axis=1)
    assert 0 < thickness.max() < 0.05
    hands = body.skinning.argmax(1) >= 20
    np.testing.assert_array_equal(offset[hands], 0)


@pytest.mark.parametrize(
    ("changes", "material"),
    [
        ({"bag": "backpack"}, BAG),
        ({"bag": "shoulder"}, BAG),
        ({"bag": "hand"}, BAG),
        ({"hair": "cap"}, BAG),
        ({"hair": "long"}, HAIR),
        ({"hair": "bun"}, HAIR),
        ({"bottom": "skirt"}, BOTTOM),
        ({"top": "coat"}, TOP),
    ],
)
def test_dress_adds_a_separate_mesh(body, changes, material):
    assert materials(body, bottom="trousers") == {BODY}
    assert materials(body, **{"bottom": "trousers"} | changes) == {BODY, material}


def test_dress_moves_separate_meshes_with_the_shape(body):
    clothed = dress(body, make_person(body, **PLAIN | {"bag": "backpack", "bottom": "trousers"}))
    bag = clothed.material == BAG
    joint_directions = np.einsum("jv,vck->jck", body.joint_regressor, body.shape_directions)
    expected = 0.7 * joint_directions[9] + 0.3 * joint_directions[6]
    actual = clothed.arrays.shape_directions[bag]
    np.testing.assert_allclose(actual, np.broadcast_to(expected, actual.shape), atol=1e-5)


def test_surface_albedo_shows_the_colours_of_the_person(body):
    person = make_person(body, **PLAIN | {"bottom": "trousers", "top": "long"})
    landmarks = Landmarks(body)
    points = np.array([
        [0, landmarks.mid_chest, 0.1],
        [landmarks.x(18) + 0.05, landmarks.y(18), 0],
        [landmarks.x(4), landmarks.y(4), 0.05],
        [landmarks.x(7), landmarks.y(7) - 0.04, 0.05],
        [landmarks.x(22), landmarks.y(22), 0],
        [0, landmarks.y(15) + 0.2, landmarks.z(15)],
    ], dtype=np.float32)  # fmt: skip
    colours = person.colours
    expected = [colours.top, colours.top, colours.bottom, colours.shoe, colours.skin, colours.hair]
    albedo = surface_albedo(person, landmarks, points, np.full(len(points), BODY))
    np.testing.assert_array_equal(albedo, np.stack(expected))


def test_surface_albedo_shows_a_back_print_only_on_the_back(body):
    person = make_person(body, **PLAIN | {"logo": "back"})
    landmarks = Landmarks(body)
    points = np.array([[0, landmarks.mid_chest, -0.1], [0, landmarks.mid_chest, 0.1]], np.float32)
    back, front = surface_albedo(person, landmarks, points, np.full(2, BODY))
    np.testing.assert_array_equal(back, person.colours.logo)
    np.testing.assert_array_equal(front, person.colours.top)

from dataclasses import replace

import numpy as np
import pytest

from reid_gen.body.model import built_in_body
from reid_gen.pedestrians.garments import BAG, BODY, BOTTOM, HAIR, TOP, Landmarks, dress
from reid_gen.pedestrians.people import SHARE, draw_person
from reid_gen.pedestrians.texture import paint

PLAIN = {"pattern": "plain", "logo": "none", "bag": "none", "hair": "short", "top": "tee"}


@pytest.fixture(scope="module")
def body():
    return built_in_body().arrays


def person(body, number=0, **changes):
    return replace(draw_person(1, number, body.shape_samples), **changes)


def material_of(body, **changes):
    return set(dress(body, person(body, **PLAIN | changes)).material.tolist())


def test_the_same_seed_and_number_give_the_same_person(body):
    one, two = (draw_person(4, 7, body.shape_samples) for _ in range(2))
    assert repr(one) == repr(two)
    assert repr(one) != repr(draw_person(4, 8, body.shape_samples))


def test_some_neighbours_wear_the_same_colours_and_others_do_not(body):
    people = [draw_person(1, number, body.shape_samples) for number in range(60)]
    same = [
        np.array_equal(a.colours.top, b.colours.top)
        for a, b in zip(people[::SHARE], people[1::SHARE], strict=True)
    ]
    assert 0 < sum(same) < len(same)


def test_clothes_only_add_to_the_body(body):
    dressed = dress(body, person(body, **PLAIN))
    moved = dressed.arrays.template[: len(body.template)] - body.template
    distance = np.linalg.norm(moved, axis=1)
    assert 0 < distance.max() < 0.05
    bare = body.skinning.argmax(1) >= 20
    np.testing.assert_array_equal(moved[bare], 0)


@pytest.mark.parametrize(
    ("changes", "piece"),
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
def test_what_is_worn_is_there_as_a_piece(body, changes, piece):
    assert material_of(body, bottom="trousers") == {BODY}
    assert material_of(body, **{"bottom": "trousers"} | changes) == {BODY, piece}


def test_pieces_follow_the_shape_of_the_person(body):
    dressed = dress(body, person(body, **PLAIN | {"bag": "backpack", "bottom": "trousers"}))
    bag = dressed.material == BAG
    joints = np.einsum("jv,vck->jck", body.joint_regressor, body.shape_directions)
    wanted = 0.7 * joints[9] + 0.3 * joints[6]
    found = dressed.arrays.shape_directions[bag]
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-5)


def test_a_person_wears_the_colours_they_were_given(body):
    who = person(body, **PLAIN | {"bottom": "trousers", "top": "long"})
    marks = Landmarks(body)
    spots = np.array([
        [0, marks.mid_chest, 0.1],
        [marks.x(18) + 0.05, marks.y(18), 0],
        [marks.x(4), marks.y(4), 0.05],
        [marks.x(7), marks.y(7) - 0.04, 0.05],
        [marks.x(22), marks.y(22), 0],
        [0, marks.y(15) + 0.2, marks.z(15)],
    ], dtype=np.float32)  # fmt: skip
    colours = who.colours
    wanted = [colours.top, colours.top, colours.bottom, colours.shoe, colours.skin, colours.hair]
    found = paint(who, marks, spots, np.zeros(len(spots), int))
    np.testing.assert_array_equal(found, np.stack(wanted))


def test_a_print_on_the_back_is_not_seen_in_front(body):
    who = person(body, **PLAIN | {"logo": "back"})
    marks = Landmarks(body)
    spots = np.array([[0, marks.mid_chest, -0.1], [0, marks.mid_chest, 0.1]], np.float32)
    back, front = paint(who, marks, spots, np.zeros(2, int))
    np.testing.assert_array_equal(back, who.colours.logo)
    np.testing.assert_array_equal(front, who.colours.top)

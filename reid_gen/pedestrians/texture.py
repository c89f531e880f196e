"""Procedural texture: albedo of a clothed person as a function of the position in T-pose.

A function of the position, unlike colours per vertex, gives garments sharp borders at any mesh
resolution. All functions take points [N, 3] in metres (x to the person's left, y up, z to the
front) and return linear RGB [N, 3] or masks [N]. Source: own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reid_gen.pedestrians.garments import BAG, BODY, BOTTOM, HAIR, TOP, BoolArray, Landmarks
from reid_gen.pedestrians.people import Person
from reid_gen.types import Float32Array, Int64Array


def surface_albedo(
    person: Person, landmarks: Landmarks, points: Float32Array, material: Int64Array
) -> Float32Array:
    """Compute the albedo of surface points.

    Args:
        person: Person whose surface it is.
        landmarks: Landmarks of the unclothed body.
        points: Positions in T-pose, [N, 3].
        material: Material of each point, [N].

    Returns:
        Linear RGB, [N, 3].
    """
    colours = person.colours
    albedo = np.empty((len(points), 3), np.float32)
    body = material == BODY
    albedo[body] = _body_albedo(person, landmarks, points[body])
    albedo[material == BAG] = colours.bag
    albedo[material == BOTTOM] = colours.bottom
    albedo[material == HAIR] = colours.hair
    coat = material == TOP
    albedo[coat] = _top_colours(person, landmarks, points[coat])
    x, _, z = points.T
    albedo[coat & (np.abs(x) < 0.03) & (z > 0.05)] = colours.bottom
    if person.bag == "backpack":
        seams = (np.abs(x) > 0.125) | (np.abs(points[:, 1] - landmarks.mid_chest) < 0.012)
        albedo[(material == BAG) & seams] *= 0.55
    return albedo


def _body_albedo(person: Person, landmarks: Landmarks, points: Float32Array) -> Float32Array:
    albedo = np.empty_like(points)
    albedo[:] = person.colours.skin
    _paint_bottom(albedo, person, landmarks, points)
    _paint_shoes(albedo, person, landmarks, points)
    top = _top_mask(person, landmarks, points)
    albedo[top] = _top_colours(person, landmarks, points[top])
    _paint_straps(albedo, person, landmarks, points, top)
    _paint_head(albedo, person, landmarks, points)
    return albedo


def _paint_bottom(
    albedo: Float32Array, person: Person, landmarks: Landmarks, points: Float32Array
) -> None:
    x, y, z = points.T
    knee, ankle = landmarks.y(4), landmarks.y(7)
    hem = {
        "trousers": ankle - 0.01,
        "leggings": ankle + 0.04,
        "shorts": knee - 0.05 + 0.22 * person.hem_height,
        "skirt": knee + 0.02 + 0.25 * person.hem_height,
    }[person.bottom]
    region = (y > hem) & (y < landmarks.y(0) + 0.07)
    albedo[region] = person.colours.bottom
    if person.bottom_stripe:
        outer_side = np.abs(x) > landmarks.x(1) + 0.02
        albedo[region & outer_side & (np.abs(z - landmarks.z(1)) < 0.018)] = (
            person.colours.bottom_second
        )


def _paint_shoes(
    albedo: Float32Array, person: Person, landmarks: Landmarks, points: Float32Array
) -> None:
    y = points[:, 1]
    albedo[y < landmarks.y(7) - 0.015] = person.colours.shoe
    albedo[y < landmarks.y(7) - 0.065] = person.colours.sole


def _arm_mask(landmarks: Landmarks, points: Float32Array) -> BoolArray:
    return (np.abs(points[:, 0]) > landmarks.x(16)) & (points[:, 1] > landmarks.y(6))


def _top_mask(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    x, y, z = points.T
    side = np.abs(x)
    shoulder, elbow, wrist = landmarks.x(16), landmarks.x(18), landmarks.x(20)
    cuff = {
        "tee": shoulder + (elbow - shoulder) * person.sleeve,
        "tank": shoulder - 0.02,
    }.get(person.top, wrist - 0.01)
    hem = landmarks.y(0) + {
        "tee": -0.03, "tank": -0.02, "long": -0.03, "jacket": -0.06, "coat": -0.30,
    }[person.top]  # fmt: skip
    on_arm = (side > cuff) & (y > landmarks.y(6))
    neckline = landmarks.y(12) + 0.02 - 0.35 * np.maximum(z - 0.02, 0)
    above_neckline = (side < 0.10) & (y > neckline)
    return (y > hem) & ~on_arm & ~above_neckline


def _top_colours(person: Person, landmarks: Landmarks, points: Float32Array) -> Float32Array:
    colours = person.colours
    x, z = points[:, 0], points[:, 2]
    cloth = np.empty_like(points)
    cloth[:] = colours.top
    cloth[PATTERNS[person.pattern](person, landmarks, points)] = colours.top_second
    open_front = person.top in ("jacket", "coat")
    if open_front:
        cloth[(z > 0) & (np.abs(x) < 0.045)] = colours.inner
    cloth[_print_mask(person, landmarks, points, on_front=not open_front)] = colours.logo
    return cloth


def _plain(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    return np.zeros(len(points), dtype=bool)


def _rings(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    along = np.where(_arm_mask(landmarks, points), np.abs(points[:, 0]), points[:, 1])
    return np.sin(along * person.pattern_pitch) > 0.1


def _stripes(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    across = np.where(_arm_mask(landmarks, points), points[:, 1], points[:, 0])
    return np.sin(across * 1.4 * person.pattern_pitch) > 0.3


def _checks(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    x, y, _ = points.T
    pitch = 1.1 * person.pattern_pitch
    return (np.sin(x * pitch) > 0.2) ^ (np.sin(y * pitch) > 0.2)


def _halves(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    return (points[:, 1] < landmarks.y(6) + 0.03) & ~_arm_mask(landmarks, points)


def _raglan(person: Person, landmarks: Landmarks, points: Float32Array) -> BoolArray:
    return _arm_mask(landmarks, points)


PATTERNS: dict[str, Callable[[Person, Landmarks, Float32Array], BoolArray]] = {
    "plain": _plain,
    "rings": _rings,
    "stripes": _stripes,
    "checks": _checks,
    "halves": _halves,
    "raglan": _raglan,
}


def _print_mask(
    person: Person, landmarks: Landmarks, points: Float32Array, *, on_front: bool
) -> BoolArray:
    x, y, z = points.T
    size, up = person.logo_size, y - landmarks.mid_chest
    printed = np.zeros(len(points), dtype=bool)
    if person.logo in ("front", "both") and on_front:
        letters = np.sin(x * 90 + person.folds % 7) * np.sin(y * 80) > -0.2
        printed |= (z > 0.02) & (np.abs(up) < 0.8 * size) & (np.abs(x) < size) & letters
    if person.logo in ("back", "both"):
        disc = ((up - 0.03) / (1.1 * size)) ** 2 + (x / (1.2 * size)) ** 2 < 1
        printed |= (z < -0.01) & disc
    if person.logo == "chest":
        printed |= (z > 0.02) & (np.abs(up - 0.07) < 0.02) & (np.abs(x - 0.07) < 0.022)
    return printed


def _paint_straps(
    albedo: Float32Array, person: Person, landmarks: Landmarks, points: Float32Array, top: BoolArray
) -> None:
    x, y, z = points.T
    if person.bag == "backpack":
        strap = (np.abs(np.abs(x) - 0.085) < 0.017) & (z > -0.03) & (y > landmarks.y(6) - 0.02)
    elif person.bag == "shoulder":
        across = person.bag_side * 1.25 * x + 0.95 * (y - landmarks.y(9) - 0.05) + 0.08
        strap = (np.abs(across) < 0.02) & ~_arm_mask(landmarks, points)
    else:
        return
    albedo[top & strap] = 0.8 * person.colours.bag


def _paint_head(
    albedo: Float32Array, person: Person, landmarks: Landmarks, points: Float32Array
) -> None:
    colours = person.colours
    cover = {"cap": colours.bag, "hood": colours.top, "bald": colours.skin}
    scalp = landmarks.scalp(points)
    albedo[scalp] = cover.get(person.hair, colours.hair)
    x, y, z = points.T
    side, up = np.abs(x), y - landmarks.y(15)
    if person.hair == "hood":
        albedo[(side < 0.12) & (y > landmarks.y(12) - 0.02) & (up < 0)] = colours.top
    face = ~scalp & (z > landmarks.z(15) + 0.05) & (up > -0.03) & (side < 0.1)
    eyes = face & (np.abs(up - 0.075) < 0.009) & (np.abs(side - 0.033) < 0.014)
    brows = face & (np.abs(up - 0.098) < 0.006) & (np.abs(side - 0.034) < 0.022)
    mouth = face & (np.abs(up - 0.008) < 0.007) & (side < 0.024)
    albedo[eyes] = (0.03, 0.02, 0.02)
    albedo[brows] = 0.7 * colours.hair
    albedo[mouth] = colours.skin * np.array([0.75, 0.45, 0.45], np.float32)

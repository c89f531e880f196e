"""Who the pedestrians are: body shape and clothes that stay the same in every camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator

from reid_gen.pedestrians.colours import CLOTH, HAIR, SKIN, cloth_colour, one_of
from reid_gen.types import Float32Array

Hair = Literal["short", "long", "bald", "bun", "cap", "hood"]
Top = Literal["tee", "long", "jacket", "coat", "tank"]
Pattern = Literal["plain", "rings", "stripes", "checks", "halves", "raglan"]
Logo = Literal["none", "front", "back", "both", "chest"]
Bottom = Literal["trousers", "shorts", "skirt", "leggings"]
Bag = Literal["none", "backpack", "shoulder", "hand"]

SHARE = 3
"""People with successive numbers who may wear the same colours."""


@dataclass(frozen=True)
class Colours:
    """Linear RGB, each [3]."""

    skin: Float32Array
    hair: Float32Array
    top: Float32Array
    top_second: Float32Array
    inner: Float32Array
    logo: Float32Array
    bottom: Float32Array
    bottom_second: Float32Array
    shoe: Float32Array
    sole: Float32Array
    bag: Float32Array


@dataclass(frozen=True)
class Person:
    """One identity.

    Attributes:
        shape: Coefficients of the body model, [10].
        colours: Of skin, hair and clothes.
        hair: Hair or head cover.
        top: Upper garment.
        sleeve: Length of a tee's sleeve, 0 at the shoulder to 1 at the elbow.
        pattern: Of the upper garment.
        pattern_pitch: Radians of pattern per metre.
        logo: Where the upper garment is printed.
        logo_size: Half its width in metres.
        bottom: Lower garment.
        bottom_length: 0 to 1, of shorts and skirts.
        bottom_stripe: Whether a stripe runs down the side.
        bag: What is carried.
        bag_side: 1 left, -1 right.
        bag_size: Relative to an ordinary one.
        looseness: Thickness of the clothes, relative.
        folds: Seed of the folds of the cloth.
    """

    shape: Float32Array
    colours: Colours
    hair: Hair
    top: Top
    sleeve: float
    pattern: Pattern
    pattern_pitch: float
    logo: Logo
    logo_size: float
    bottom: Bottom
    bottom_length: float
    bottom_stripe: bool
    bag: Bag
    bag_side: int
    bag_size: float
    looseness: float
    folds: int


def draw_person(seed: int, number: int, shapes: Float32Array) -> Person:
    """Draw a person; the same seed and number always give the same one.

    Half of the people wear the main colours of their group of ``SHARE``, so that colours alone
    don't tell them apart.

    Args:
        seed: Of the data set.
        number: Of the person.
        shapes: Plausible body shapes to choose from, [M, 10].

    Returns:
        The person. Source: own.
    """
    rng = np.random.default_rng([seed, 1, number])
    group = np.random.default_rng([seed, 2, number // SHARE])
    return Person(
        shape=shapes[rng.integers(len(shapes))].astype(np.float32),
        colours=_colours(rng, group),
        hair=_pick(Hair, (0.4, 0.25, 0.05, 0.1, 0.12, 0.08), rng),
        top=_pick(Top, (0.35, 0.25, 0.22, 0.13, 0.05), rng),
        sleeve=rng.uniform(0.3, 0.8),
        pattern=_pick(Pattern, (0.55, 0.12, 0.05, 0.08, 0.1, 0.1), rng),
        pattern_pitch=rng.uniform(40, 110),
        logo=_pick(Logo, (0.45, 0.2, 0.1, 0.1, 0.15), rng),
        logo_size=rng.uniform(0.05, 0.11),
        bottom=_pick(Bottom, (0.6, 0.2, 0.12, 0.08), rng),
        bottom_length=rng.random(),
        bottom_stripe=bool(rng.random() < 0.12),
        bag=_pick(Bag, (0.45, 0.28, 0.15, 0.12), rng),
        bag_side=1 if rng.random() < 0.5 else -1,
        bag_size=rng.uniform(0.85, 1.2),
        looseness=rng.uniform(0.4, 1.3),
        folds=int(rng.integers(1 << 30)),
    )


def _pick(kind: object, shares: tuple[float, ...], rng: Generator):  # type: ignore[no-untyped-def]
    return rng.choice(get_args(kind), p=shares).item()


def _colours(rng: Generator, group: Generator) -> Colours:
    wardrobe = group if rng.random() < 0.5 else rng
    return Colours(
        top=cloth_colour(wardrobe),
        bottom=cloth_colour(wardrobe),
        skin=one_of(SKIN, rng),
        hair=one_of(HAIR, rng),
        top_second=cloth_colour(rng),
        inner=cloth_colour(rng),
        logo=cloth_colour(rng),
        bottom_second=cloth_colour(rng),
        shoe=cloth_colour(rng),
        sole=CLOTH[5] if rng.random() < 0.5 else CLOTH[1],
        bag=cloth_colour(rng),
    )

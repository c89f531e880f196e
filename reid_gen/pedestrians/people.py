"""Identities: body shape and clothes of a person, which are the same in every camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator

from reid_gen.pedestrians.colours import CLOTH, HAIR, SKIN, sample_cloth_colour, sample_colour
from reid_gen.types import Float32Array

Hair = Literal["short", "long", "bald", "bun", "cap", "hood"]
Top = Literal["tee", "long", "jacket", "coat", "tank"]
Pattern = Literal["plain", "rings", "stripes", "checks", "halves", "raglan"]
Logo = Literal["none", "front", "back", "both", "chest"]
Bottom = Literal["trousers", "shorts", "skirt", "leggings"]
Bag = Literal["none", "backpack", "shoulder", "hand"]

COLOUR_GROUP = 3
"""Number of people with consecutive indices who may wear the same main colours."""


@dataclass(frozen=True)
class Colours:
    """Colours of a person's skin, hair and clothes in linear RGB, [3] each."""

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
        shape: Shape coefficients of the body model, [10].
        colours: Colours of skin, hair and clothes.
        hair: Hair style or headgear.
        top: Upper garment.
        sleeve: Sleeve length of a T-shirt, from 0 (shoulder) to 1 (elbow).
        pattern: Pattern of the upper garment.
        pattern_pitch: Spatial frequency of the pattern in radians per metre.
        logo: Position of the print on the upper garment.
        logo_size: Half the width of the print in metres.
        bottom: Lower garment.
        hem_height: Relative height of the hem of shorts or a skirt, 0 (longest) to 1 (shortest).
        bottom_stripe: Whether the lower garment has a side stripe.
        bag: Bag that the person carries.
        bag_side: Side of the bag: 1 left, -1 right.
        bag_size: Size of the bag relative to a typical one.
        looseness: Thickness of the clothes relative to a typical fit.
        folds: Seed of the cloth folds.
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
    hem_height: float
    bottom_stripe: bool
    bag: Bag
    bag_side: int
    bag_size: float
    looseness: float
    folds: int


def sample_person(seed: int, index: int, shapes: Float32Array) -> Person:
    """Sample a person; the same seed and index always give the same person.

    Half of the people wear the main colours of their group of ``COLOUR_GROUP``, so that colour
    alone does not identify them.

    Args:
        seed: Seed of the data set.
        index: Index of the person.
        shapes: Shape coefficients of plausible bodies to choose from, [M, 10].

    Returns:
        The person. Source: own.
    """
    rng = np.random.default_rng([seed, 1, index])
    group_rng = np.random.default_rng([seed, 2, index // COLOUR_GROUP])
    return Person(
        shape=shapes[rng.integers(len(shapes))].astype(np.float32),
        colours=_sample_colours(rng, group_rng),
        hair=_sample(Hair, (0.4, 0.25, 0.05, 0.1, 0.12, 0.08), rng),
        top=_sample(Top, (0.35, 0.25, 0.22, 0.13, 0.05), rng),
        sleeve=rng.uniform(0.3, 0.8),
        pattern=_sample(Pattern, (0.55, 0.12, 0.05, 0.08, 0.1, 0.1), rng),
        pattern_pitch=rng.uniform(40, 110),
        logo=_sample(Logo, (0.45, 0.2, 0.1, 0.1, 0.15), rng),
        logo_size=rng.uniform(0.05, 0.11),
        bottom=_sample(Bottom, (0.6, 0.2, 0.12, 0.08), rng),
        hem_height=rng.random(),
        bottom_stripe=bool(rng.random() < 0.12),
        bag=_sample(Bag, (0.45, 0.28, 0.15, 0.12), rng),
        bag_side=1 if rng.random() < 0.5 else -1,
        bag_size=rng.uniform(0.85, 1.2),
        looseness=rng.uniform(0.4, 1.3),
        folds=int(rng.integers(1 << 30)),
    )


def _sample(  # type: ignore[no-untyped-def]
    kind: object, probabilities: tuple[float, ...], rng: Generator
):
    """Sample a value of a Literal type."""
    return rng.choice(get_args(kind), p=probabilities).item()


def _sample_colours(rng: Generator, group_rng: Generator) -> Colours:
    main_rng = group_rng if rng.random() < 0.5 else rng
    return Colours(
        top=sample_cloth_colour(main_rng),
        bottom=sample_cloth_colour(main_rng),
        skin=sample_colour(SKIN, rng),
        hair=sample_colour(HAIR, rng),
        top_second=sample_cloth_colour(rng),
        inner=sample_cloth_colour(rng),
        logo=sample_cloth_colour(rng),
        bottom_second=sample_cloth_colour(rng),
        shoe=sample_cloth_colour(rng),
        sole=CLOTH[5] if rng.random() < 0.5 else CLOTH[1],
        bag=sample_cloth_colour(rng),
    )

"""Draw the pictures of the documents: rendered people (nobody is real) and structure maps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from reid_gen.body.model import built_in_body
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.body.render.structure_maps import BodyMapRenderer
from reid_gen.body.table import BodyTable
from reid_gen.data.images import save_image
from reid_gen.pedestrians.renderer import Studio, Take
from reid_gen.types import Uint8Array

ROOT = Path(__file__).parents[1]
TURNS = range(0, 360, 45)


def main() -> None:
    """Draw all sheets into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    small, large = Studio(options.seed), Studio(options.seed, 256, 128)
    save_image(crowd(small), options.out / "forty_people_in_six_cameras.jpg")
    save_image(one_person(small), options.out / "same_people_across_cameras.jpg")
    save_image(turns(large), options.out / "true_turns.jpg")
    save_image(structures(large), options.out / "structure_maps.png")


def crowd(studio: Studio) -> Uint8Array:
    """Forty people, each in one crop of each of six cameras."""
    halves = [
        rows([[studio.take(person, camera, 0) for camera in range(6)] for person in half], studio)
        for half in (range(20), range(20, 40))
    ]
    return np.concatenate(halves, axis=1)


def one_person(studio: Studio) -> Uint8Array:
    """Four people, two crops in each of six cameras."""
    places = [(camera, repeat) for camera in range(6) for repeat in range(2)]
    takes = [[studio.take(person, *place) for place in places] for person in (41, 45, 46, 52)]
    return rows(takes, studio)


def rows(takes: list[list[Take]], studio: Studio) -> Uint8Array:
    """Crops in rows."""
    return np.concatenate(
        [np.concatenate([studio.photograph(take) for take in row], axis=1) for row in takes]
    )


def turns(studio: Studio) -> Uint8Array:
    """Crops and their true turned views."""
    takes = [alone(studio.take(person, camera, 1)) for person, camera in ((4, 2), (5, 1), (3, 2))]
    return np.concatenate(
        [np.concatenate([studio.photograph(take, by) for by in TURNS], axis=1) for take in takes]
    )


def alone(take: Take) -> Take:
    """The same take with nothing in the way, and sharp."""
    return replace(take, shot=replace(take.shot, occluder=None, neighbour=None, blur=0.2, shake=0))


def structures(studio: Studio) -> Uint8Array:
    """Every kind of structure map of one body, from eight sides."""
    take = alone(studio.take(5, 1, 1))
    truth = studio.truth(take)
    pictures = np.stack([studio.photograph(take)] * len(TURNS))
    table = BodyTable(
        keys=("walker",),
        pose=truth.pose[None],
        shape=truth.shape[None],
        camera=truth.camera[None],
        score=np.ones(1, np.float32),
        size=np.array([[studio.height, studio.width]]),
        source="truth",
    )
    maps = BodyMapRenderer(table, built_in_body(), studio.height, studio.width)
    drawn = []
    for kind in MAP_KINDS:
        shown = maps(kind, table.keys * len(TURNS), np.array(TURNS, np.float32), pictures)
        shown = shown[:, :3]  # a silhouette lies beside painted colours
        shown = np.broadcast_to(shown, (len(TURNS), 3, studio.height, studio.width))
        drawn.append(np.concatenate(list(np.moveaxis(shown, 1, -1)), axis=1))
    return np.round((np.concatenate(drawn) + 1) * 127.5).astype(np.uint8)


if __name__ == "__main__":
    main()

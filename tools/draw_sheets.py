"""Draw the images of the documents: rendered people (nobody is real) and body maps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from reid_gen.body.model import built_in_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.body.table import BodyTable
from reid_gen.data.images import save_image
from reid_gen.pedestrians.renderer import CropSpec, PedestrianRenderer
from reid_gen.types import Uint8Array

ROOT = Path(__file__).parents[1]
TURNS = range(0, 360, 45)


def main() -> None:
    """Draw all sheets into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    small, large = PedestrianRenderer(options.seed), PedestrianRenderer(options.seed, 256, 128)
    save_image(crowd(small), options.out / "forty_people_in_six_cameras.jpg")
    save_image(one_person(small), options.out / "same_people_across_cameras.jpg")
    save_image(turns(large), options.out / "true_turns.jpg")
    save_image(structures(large), options.out / "structure_maps.png")


def crowd(renderer: PedestrianRenderer) -> Uint8Array:
    """Forty people, each in one crop of each of six cameras."""
    halves = [
        rows(
            [[renderer.sample_crop(person, camera, 0) for camera in range(6)] for person in half],
            renderer,
        )
        for half in (range(20), range(20, 40))
    ]
    return np.concatenate(halves, axis=1)


def one_person(renderer: PedestrianRenderer) -> Uint8Array:
    """Four people, two crops in each of six cameras."""
    places = [(camera, repeat) for camera in range(6) for repeat in range(2)]
    crops = [
        [renderer.sample_crop(person, *place) for place in places] for person in (41, 45, 46, 52)
    ]
    return rows(crops, renderer)


def rows(crops: list[list[CropSpec]], renderer: PedestrianRenderer) -> Uint8Array:
    """Crops in rows."""
    return np.concatenate(
        [np.concatenate([renderer.render(crop) for crop in row], axis=1) for row in crops]
    )


def turns(renderer: PedestrianRenderer) -> Uint8Array:
    """Crops and their true turned views."""
    crops = [
        alone(renderer.sample_crop(person, camera, 1))
        for person, camera in ((4, 2), (5, 1), (3, 2))
    ]
    return np.concatenate(
        [np.concatenate([renderer.render(crop, by) for by in TURNS], axis=1) for crop in crops]
    )


def alone(crop: CropSpec) -> CropSpec:
    """The same crop with nothing in the way, and sharp."""
    return replace(
        crop, shot=replace(crop.shot, occluder=None, bystander=None, blur=0.2, motion_blur=0)
    )


def structures(renderer: PedestrianRenderer) -> Uint8Array:
    """Every kind of body map of one body, from eight sides."""
    crop = alone(renderer.sample_crop(5, 1, 1))
    truth = renderer.ground_truth(crop)
    pictures = np.stack([renderer.render(crop)] * len(TURNS))
    table = BodyTable(
        keys=("walker",),
        pose=truth.pose[None],
        shape=truth.shape[None],
        camera=truth.camera[None],
        score=np.ones(1, np.float32),
        size=np.array([[renderer.height, renderer.width]]),
        source="truth",
    )
    maps = BodyMapRenderer(table, built_in_body(), renderer.height, renderer.width)
    drawn = []
    for kind in MAP_KINDS:
        shown = maps(kind, table.keys * len(TURNS), np.array(TURNS, np.float32), pictures)
        shown = shown[:, :3]  # a silhouette lies beside painted colours
        shown = np.broadcast_to(shown, (len(TURNS), 3, renderer.height, renderer.width))
        drawn.append(np.concatenate(list(np.moveaxis(shown, 1, -1)), axis=1))
    return np.round((np.concatenate(drawn) + 1) * 127.5).astype(np.uint8)


if __name__ == "__main__":
    main()

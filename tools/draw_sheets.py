"""Draw the images of the documentation: rendered people, none of them real, and body maps."""

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
ROTATIONS = range(0, 360, 45)
"""Rotations of the people in degrees."""


def main() -> None:
    """Draw all sheets into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    small, large = PedestrianRenderer(options.seed), PedestrianRenderer(options.seed, 256, 128)
    save_image(crowd(small), options.out / "forty_people_in_six_cameras.jpg")
    save_image(people_across_cameras(small), options.out / "same_people_across_cameras.jpg")
    save_image(rotations(large), options.out / "true_turns.jpg")
    save_image(body_maps(large), options.out / "structure_maps.png")


def crowd(renderer: PedestrianRenderer) -> Uint8Array:
    """Draw forty people with one crop from each of six cameras."""
    halves = [
        rows(
            [[renderer.sample_crop(person, camera, 0) for camera in range(6)] for person in half],
            renderer,
        )
        for half in (range(20), range(20, 40))
    ]
    return np.concatenate(halves, axis=1)


def people_across_cameras(renderer: PedestrianRenderer) -> Uint8Array:
    """Draw four people with two crops from each of six cameras."""
    shots = [(camera, repeat) for camera in range(6) for repeat in range(2)]
    crops = [[renderer.sample_crop(person, *shot) for shot in shots] for person in (41, 45, 46, 52)]
    return rows(crops, renderer)


def rows(crops: list[list[CropSpec]], renderer: PedestrianRenderer) -> Uint8Array:
    """Render crops and join them in rows."""
    return np.concatenate(
        [np.concatenate([renderer.render(crop) for crop in row], axis=1) for row in crops]
    )


def rotations(renderer: PedestrianRenderer) -> Uint8Array:
    """Draw crops and true views of their rotated people."""
    crops = [
        unoccluded(renderer.sample_crop(person, camera, 1))
        for person, camera in ((4, 2), (5, 1), (3, 2))
    ]
    return np.concatenate(
        [
            np.concatenate([renderer.render(crop, degrees) for degrees in ROTATIONS], axis=1)
            for crop in crops
        ]
    )


def unoccluded(crop: CropSpec) -> CropSpec:
    """Return the crop without occluder, bystander and motion blur."""
    return replace(
        crop, shot=replace(crop.shot, occluder=None, bystander=None, blur=0.2, motion_blur=0)
    )


def body_maps(renderer: PedestrianRenderer) -> Uint8Array:
    """Draw every kind of body map of one body from eight sides."""
    crop = unoccluded(renderer.sample_crop(5, 1, 1))
    truth = renderer.ground_truth(crop)
    sources = np.stack([renderer.render(crop)] * len(ROTATIONS))
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
    map_rows = []
    for kind in MAP_KINDS:
        rgb = maps(kind, table.keys * len(ROTATIONS), np.array(ROTATIONS, np.float32), sources)
        rgb = rgb[:, :3]  # without the silhouette channel of painted maps
        rgb = np.broadcast_to(rgb, (len(ROTATIONS), 3, renderer.height, renderer.width))
        map_rows.append(np.concatenate(list(np.moveaxis(rgb, 1, -1)), axis=1))
    return np.round((np.concatenate(map_rows) + 1) * 127.5).astype(np.uint8)


if __name__ == "__main__":
    main()

"""Rendering speed on one core in images per second: rasterisers, body maps and rendered crops.

Run with ``python -m benchmarks.drawing``. For comparison, the slow reference rasteriser of the
tests, which compares every pixel with every face, is timed on a part of the same body in the same
process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from reid_gen.body.model import built_in_body
from reid_gen.body.render.map_kinds import MAP_KINDS, render_body_maps
from reid_gen.body.render.rasterisers import RASTERISERS
from reid_gen.errors import UserError
from reid_gen.files import as_json
from reid_gen.pedestrians.renderer import PedestrianRenderer
from reid_gen.training.run import environment
from tests.body.shapes import walking_meshes
from tests.reference.raster import rasterise as slow_rasterise

BATCH = 32
SECONDS = 2.0


def main() -> None:
    """Measure and print one JSON object."""
    torch.set_num_threads(1)
    result: dict[str, object] = {**environment(), "vertices": len(built_in_body().arrays.template)}
    for height, width in ((128, 64), (256, 128)):
        result[f"{height} x {width}"] = measure(height, width)
    print(as_json(result))


def measure(height: int, width: int) -> dict[str, float]:
    """Measure the rendering speed at one image size."""
    mesh = walking_meshes(BATCH, height, width)
    mesh = replace(mesh, colours=np.zeros_like(mesh.vertices))
    rates = {}
    for name, rasterise in RASTERISERS.items():
        # pytorch3d is optional.
        with contextlib.suppress(UserError):
            call = partial(rasterise, mesh.screen, mesh.faces, height, width)
            rates[f"z-buffer, {name}"] = rate(call, BATCH)
    for kind in MAP_KINDS:
        rates[kind] = rate(partial(render_body_maps, mesh, kind, height, width), BATCH)
    renderer = PedestrianRenderer(1, height, width)
    crops = [renderer.sample_crop(person, 0, repeat) for person in range(4) for repeat in range(4)]
    rates["rendered crop"] = rate(lambda: [renderer.render(crop) for crop in crops], len(crops))
    start = time.perf_counter()
    face, _, _ = slow_rasterise(mesh.screen[0], mesh.faces[::20], height // 4, width // 4)
    pixels_and_faces = face.size * len(mesh.faces[::20])
    seconds_per_test = (time.perf_counter() - start) / pixels_and_faces
    slow_seconds = seconds_per_test * height * width * len(mesh.faces)
    speed_up = rates["z-buffer, numba"] * slow_seconds
    rates["numba, speed-up over the slow reference (extrapolated)"] = speed_up
    return {name: round(value, 1) for name, value in rates.items()}


def rate(call: Callable[[], object], images: int) -> float:
    """Measure images per second after one warm-up call."""
    call()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        call()
        calls += 1
    return calls * images / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

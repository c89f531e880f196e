"""Images per second of one core: z-buffer, structure maps and whole rendered crops.

Run with ``python -m benchmarks.drawing``. The slow twin is the tests' rasteriser, every pixel
against every face; it is timed on a part of the same body, in the same process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project, turned
from reid_gen.body.model import built_in
from reid_gen.body.rasterise import rasterise
from reid_gen.body.structure import KINDS, Mesh, draw_structure
from reid_gen.engine.run import environment
from reid_gen.pedestrians.studio import Studio
from reid_gen.pedestrians.walking import walking_poses
from tests.reference.raster import rasterise as slow_rasterise

BATCH = 32
SECONDS = 2.0


def main() -> None:
    """Measure and print one JSON object."""
    torch.set_num_threads(1)
    result: dict[str, object] = {**environment(), "vertices": len(built_in().arrays.template)}
    for height, width in ((128, 64), (256, 128)):
        result[f"{height} x {width}"] = measure(height, width)
    print(json.dumps(result, indent=2))


def measure(height: int, width: int) -> dict[str, float]:
    """Rates at one size."""
    mesh = walkers(height, width)
    rates = {"z-buffer": rate(lambda: rasterise(mesh.screen, mesh.faces, height, width), BATCH)}
    for kind in KINDS:
        rates[kind] = rate(lambda kind=kind: draw_structure(mesh, kind, height, width), BATCH)
    studio = Studio(1, height, width)
    takes = [studio.take(person, 0, repeat) for person in range(4) for repeat in range(4)]
    rates["rendered crop"] = rate(lambda: [studio.photograph(take) for take in takes], len(takes))
    started = time.perf_counter()
    face, _, _ = slow_rasterise(mesh.screen[0], mesh.faces[::20], height // 4, width // 4)
    pixels_and_faces = face.size * len(mesh.faces[::20])
    whole = (time.perf_counter() - started) * height * width * len(mesh.faces) / pixels_and_faces
    rates["z-buffer, times the slow twin (extrapolated)"] = rates["z-buffer"] * whole
    return {name: round(value, 1) for name, value in rates.items()}


def walkers(height: int, width: int) -> Mesh:
    """People in the middle of the picture, seen from all sides."""
    rng = np.random.default_rng(0)
    model = built_in()
    pose = Rotation.from_rotvec(walking_poses(BATCH, rng).reshape(-1, 3)).as_matrix()
    rotation = torch.from_numpy(pose.reshape(BATCH, 24, 3, 3)).float()
    with torch.no_grad():
        posed = model(rotation, torch.zeros(BATCH, 10))
    vertices = turned((posed.vertices - posed.joints[:, :1]).numpy(), rng.uniform(0, 360, BATCH))
    camera = np.tile(np.array([1.0, 0, -0.1], np.float32), (BATCH, 1))
    screen = project(vertices, camera, height, width)
    return Mesh(vertices, screen, model.faces, model.arrays.skinning)


def rate(call: Callable[[], object], images: int) -> float:
    """Images per second after one call to warm up."""
    call()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        call()
        calls += 1
    return calls * images / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

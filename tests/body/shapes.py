"""Meshes and bodies that tests can check by hand."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.camera import project, turned
from reid_gen.body.model import built_in
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.pedestrians.gait import walking_poses

PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
)


def ball(rings=16, around=24):
    """A closed unit ball, faces counter-clockwise from outside."""
    polar = np.pi * np.arange(1, rings) / rings
    azimuth = 2 * np.pi * np.arange(around) / around
    points = [
        (np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)) for p in polar for a in azimuth
    ]
    vertices = np.array([*points, (0, 1, 0), (0, -1, 0)], dtype=np.float32)
    top, bottom = len(points), len(points) + 1
    faces = []
    for k in range(around):
        following = (k + 1) % around
        faces.append((top, k, following))
        for ring in range(rings - 2):
            a, b = ring * around + k, ring * around + following
            faces += [(a, a + around, b + around), (a, b + around, b)]
        last = (rings - 2) * around
        faces.append((bottom, last + following, last + k))
    return vertices, np.array(faces, dtype=np.int32)


def random_body(vertices=60, shapes=10, seed=0):
    """Arrays of the right form and nothing else."""
    rng = np.random.default_rng(seed)
    regressor, skinning = rng.random((24, vertices)), rng.random((vertices, 24))
    return BodyArrays(
        template=rng.normal(size=(vertices, 3)).astype(np.float32),
        shape_directions=rng.normal(0, 0.1, (vertices, 3, shapes)).astype(np.float32),
        pose_directions=rng.normal(0, 0.01, (vertices, 3, 207)).astype(np.float32),
        joint_regressor=(regressor / regressor.sum(1, keepdims=True)).astype(np.float32),
        skinning=(skinning / skinning.sum(1, keepdims=True)).astype(np.float32),
        parents=PARENTS,
        faces=rng.integers(0, vertices, (40, 3)).astype(np.int32),
    )


def walkers(count, height, width, seed=0):
    """Built-in bodies in the middle of a picture, in walking poses, seen from all sides."""
    rng = np.random.default_rng(seed)
    model = built_in()
    pose = Rotation.from_rotvec(walking_poses(count, rng).reshape(-1, 3)).as_matrix()
    rotation = torch.from_numpy(pose.reshape(count, 24, 3, 3)).float()
    with torch.no_grad():
        posed = model(rotation, torch.zeros(count, 10))
    vertices = turned((posed.vertices - posed.joints[:, :1]).numpy(), rng.uniform(0, 360, count))
    camera = np.tile(np.array([1.0, 0, -0.1], np.float32), (count, 1))
    screen = project(vertices, camera, height, width)
    return Mesh(vertices, screen, model.faces, model.arrays.skinning)

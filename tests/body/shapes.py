"""Meshes, body models and body tables that tests can check by hand."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.camera import project, rotate_bodies
from reid_gen.body.model import built_in_body
from reid_gen.body.render.map_kinds import Mesh
from reid_gen.body.table import BodyTable
from reid_gen.pedestrians.gait import walking_poses

PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
)


def sphere(rings=16, segments=24):
    """Build a closed unit sphere with counter-clockwise faces, seen from outside."""
    polar = np.pi * np.arange(1, rings) / rings
    azimuth = 2 * np.pi * np.arange(segments) / segments
    points = [
        (np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)) for p in polar for a in azimuth
    ]
    vertices = np.array([*points, (0, 1, 0), (0, -1, 0)], dtype=np.float32)
    top, bottom = len(points), len(points) + 1
    faces = []
    for segment in range(segments):
        following = (segment + 1) % segments
        faces.append((top, segment, following))
        for ring in range(rings - 2):
            a, b = ring * segments + segment, ring * segments + following
            faces += [(a, a + segments, b + segments), (a, b + segments, b)]
        last = (rings - 2) * segments
        faces.append((bottom, last + following, last + segment))
    return vertices, np.array(faces, dtype=np.int32)


def random_body(vertices=60, shapes=10, seed=0):
    """Build body model arrays of valid shapes with random values."""
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


def body_table(pose, **columns):
    """Build a table of N centred bodies of mean shape in 128 x 64 images, keyed a, b, c, ..."""
    count = len(pose)
    defaults = {
        "keys": tuple("abcdefgh"[:count]),
        "pose": pose.astype(np.float32),
        "shape": np.zeros((count, 10), np.float32),
        "camera": np.tile(np.array([0.95, 0, -0.1], np.float32), (count, 1)),
        "score": np.ones(count, np.float32),
        "size": np.tile([128, 64], (count, 1)),
        "source": "test",
    }
    return BodyTable(**defaults | columns)


def pose_bodies(table):
    """Pose the built-in body with a table's parameters."""
    rotation = Rotation.from_rotvec(table.pose.reshape(-1, 3)).as_matrix()
    matrices = torch.from_numpy(rotation.reshape(-1, 24, 3, 3)).float()
    with torch.no_grad():
        return built_in_body()(matrices, torch.from_numpy(table.shape))


def project_bodies(table, height, width):
    """Project the built-in body's vertices with a table's cameras, [N, V, 3]."""
    posed = pose_bodies(table)
    vertices = (posed.vertices - posed.joints[:, :1]).numpy()
    return project(vertices, table.camera, height, width)


def walking_meshes(count, height, width, seed=0):
    """Build centred meshes of the built-in body in walking poses, from random viewpoints."""
    rng = np.random.default_rng(seed)
    model = built_in_body()
    pose = Rotation.from_rotvec(walking_poses(count, rng).reshape(-1, 3)).as_matrix()
    rotation = torch.from_numpy(pose.reshape(count, 24, 3, 3)).float()
    with torch.no_grad():
        posed = model(rotation, torch.zeros(count, 10))
    relative_to_pelvis = (posed.vertices - posed.joints[:, :1]).numpy()
    vertices = rotate_bodies(relative_to_pelvis, rng.uniform(0, 360, count))
    camera = np.tile(np.array([1.0, 0, -0.1], np.float32), (count, 1))
    screen = project(vertices, camera, height, width)
    return Mesh(vertices, screen, model.faces, model.arrays.skinning)

"""Reference implementation of SMPL's skinning (Loper et al., 2015, equations 2 to 11)."""

import numpy as np


def skin(arrays, rotations, shape):
    """Vertices [V, 3] and joints [24, 3] of one body in float64."""
    vertices = arrays.template.astype(np.float64)
    for coefficient, direction in zip(
        shape, np.moveaxis(arrays.shape_directions, -1, 0), strict=True
    ):
        vertices = vertices + coefficient * direction
    joints = arrays.joint_regressor.astype(np.float64) @ vertices
    pose_features = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    vertices = vertices + arrays.pose_directions.astype(np.float64) @ pose_features
    world = []
    for joint, parent in enumerate(arrays.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    posed = np.zeros_like(vertices)
    for joint in range(24):
        from_rest = world[joint].copy()
        from_rest[:3, 3] -= world[joint][:3, :3] @ joints[joint]
        transformed = vertices @ from_rest[:3, :3].T + from_rest[:3, 3]
        posed += arrays.skinning[:, joint : joint + 1] * transformed
    return posed, np.stack([transform[:3, 3] for transform in world])

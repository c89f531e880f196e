"""Arrays of a body model in SMPL format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid_gen.types import Float32Array, Int64Array

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar",
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hand", "right_hand",
)  # fmt: skip


@dataclass(frozen=True)
class BodyArrays:
    """Arrays of an SMPL-format body model (Loper et al., SIGGRAPH Asia 2015).

    Units are metres; the template stands in T-pose, y up, facing +z.

    Attributes:
        template: Vertices of the mean shape, [V, 3]; +x is the person's left.
        shape_directions: Shape blend shapes, vertex offsets per shape coefficient, [V, 3, S].
        pose_directions: Pose blend shapes, vertex offsets per entry of the 23 body joints' rotation
            matrices minus the identity, [V, 3, 207].
        joint_regressor: Weights that regress the joints from the vertices, [24, V].
        skinning: Linear blend skinning weights, [V, 24]; each row sums to 1.
        parents: Parent of each joint in the kinematic tree, [24]; -1 for the pelvis.
        faces: Vertex indices of each triangle, counter-clockwise seen from outside, [F, 3].
        shape_samples: Shape coefficients sampled from a population, [M, S]; None if unknown.
    """

    template: Float32Array
    shape_directions: Float32Array
    pose_directions: Float32Array
    joint_regressor: Float32Array
    skinning: Float32Array
    parents: Int64Array
    faces: NDArray[np.int32]
    shape_samples: Float32Array | None = None

    def __post_init__(self) -> None:
        num_vertices, num_betas = len(self.template), self.shape_directions.shape[-1]
        expected_shapes = {
            "template": (num_vertices, 3),
            "shape_directions": (num_vertices, 3, num_betas),
            "pose_directions": (num_vertices, 3, 207),
            "joint_regressor": (24, num_vertices),
            "skinning": (num_vertices, 24),
            "parents": (24,),
            "faces": (len(self.faces), 3),
        }
        for name, expected in expected_shapes.items():
            actual = getattr(self, name).shape
            if actual != expected:
                raise ValueError(f"{name}: expected {expected}, got {actual}")
        if not np.allclose(self.skinning.sum(1), 1, atol=1e-3):
            raise ValueError("skinning: rows must sum to 1")
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < num_vertices:
            raise ValueError(f"faces: expected vertices 0..{num_vertices - 1}")

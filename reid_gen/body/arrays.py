"""What a body model of the SMPL kind consists of."""

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
    """A body in SMPL format (Loper et al., SIGGRAPH Asia 2015): metres, y up, facing +z, T-pose.

    Attributes:
        template: Vertices of the mean shape, [V, 3]; +x is the person's left.
        shape_directions: How vertices move with each shape coefficient, [V, 3, S].
        pose_directions: How they move with the 207 entries of the joints' rotation matrices less
            the identity, [V, 3, 207].
        joint_regressor: Joints as means of vertices, [24, V].
        skinning: How far each vertex follows each joint, [V, 24], rows of sum 1.
        parents: Parent of each joint, [24]; -1 for the pelvis.
        faces: Counter-clockwise seen from outside, [F, 3].
        shape_samples: Plausible shapes of a population, [M, S]; None where not known.
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
        count, shapes = len(self.template), self.shape_directions.shape[-1]
        wanted = {
            "template": (count, 3),
            "shape_directions": (count, 3, shapes),
            "pose_directions": (count, 3, 207),
            "joint_regressor": (24, count),
            "skinning": (count, 24),
            "parents": (24,),
            "faces": (len(self.faces), 3),
        }
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name}: expected {shape}, got {found}")
        if not np.allclose(self.skinning.sum(1), 1, atol=1e-3):
            raise ValueError("skinning: rows must sum to 1")
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < count:
            raise ValueError(f"faces: expected vertices 0..{count - 1}")

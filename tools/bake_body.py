"""Convert an anny body model into the built-in body of reid-gen, in SMPL's format.

Needs the ``bake`` extra; reid-gen itself never imports anny. The result depends only on the seed
and on the version of anny. Takes a few minutes, because anny loads its assets first.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import anny
import fast_simplification
import numpy as np
import roma
import torch
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from reid_gen.body.arrays import JOINTS

ROOT = Path(__file__).parents[1]
TOPOLOGY = "anny-notongue"
PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
)
JOINT_BONES = (
    "root", "upperleg01.L", "upperleg01.R", "spine04", "lowerleg01.L", "lowerleg01.R", "spine03",
    "foot.L", "foot.R", "spine01", "toe2-1.L", "toe2-1.R", "neck01", "clavicle.L", "clavicle.R",
    "head", "upperarm01.L", "upperarm01.R", "lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R",
    "finger3-1.L", "finger3-1.R",
)  # fmt: skip
"""Bone of anny whose head is the position of each SMPL joint, in SMPL's order."""

MERGED = {
    "root": 0, "pelvis": 0, "spine05": 0, "spine04": 3, "spine03": 6, "spine02": 6, "spine01": 9,
    "head": 15, "upperleg": 1, "lowerleg": 4, "foot": 7, "toe": 10, "clavicle": 13,
    "shoulder01": 13, "upperarm": 16, "lowerarm": 18, "wrist": 20, "metacarpal": 20, "finger": 22,
    "neck": 12, "eye": 15,
}  # fmt: skip
"""Prefix of bone names -> SMPL joint (on the left side) that the bones are merged into."""


def main() -> None:
    """Convert the body model and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "reid_gen/body/assets/body.npz")
    parser.add_argument("--faces", type=int, default=5800, help="faces after decimation")
    parser.add_argument("--people", type=int, default=1500, help="sampled phenotypes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    rng = np.random.default_rng(options.seed)
    model = anny.Anny(rig="anny", topology=TOPOLOGY)
    vertices, joints = people_in_t_pose(model, options.people, rng)
    faces, skinning = model.faces.numpy(), merged_skinning(model)
    vertex_index, faces = decimate(vertices[0], faces, options.faces)
    vertices, skinning = vertices[:, vertex_index], skinning[vertex_index]
    mean, directions, samples = principal_shapes(vertices)
    regressor = joint_regressor(vertices, joints, mean, rng)
    sample = rng.choice(options.people, 256, replace=False)
    np.savez_compressed(
        options.out,
        template=mean.astype(np.float32),
        shape_directions=directions.astype(np.float16),
        joint_regressor=regressor.astype(np.float32),
        skinning=skinning.astype(np.float32),
        parents=PARENTS,
        faces=faces.astype(np.int32),
        shape_samples=samples[sample].astype(np.float16),
    )
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {len(mean)} vertices, {len(faces)} faces, {size:.2f} MB")


def people_in_t_pose(
    model: anny.Anny, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pose random people; return vertices [N, V, 3] and joints [N, 24, 3], an average one first."""
    bones = {name: index for index, name in enumerate(model.bone_labels)}
    at_rest = model()["bone_poses"][0]
    pose = torch.eye(4, dtype=model.dtype).repeat(1, model.bone_count, 1, 1)
    pose[0, :, :3, :3] = t_pose_rotations(model, at_rest[:, :3, 3], bones) @ at_rest[:, :3, :3]
    phenotypes = sample_phenotypes(count, model.phenotype_labels, rng)
    vertices, joints = [], []
    for batch in torch.split(phenotypes, 100):
        posed = model(
            pose_parameters=pose, phenotype_kwargs=batch, pose_parameterization="world-orient"
        )
        vertices.append(posed["vertices"])
        joints.append(posed["bone_poses"][:, [bones[name] for name in JOINT_BONES], :3, 3])
    return y_up(torch.cat(vertices).numpy()), y_up(torch.cat(joints).numpy())


def y_up(points: np.ndarray) -> np.ndarray:
    """Convert points from anny's axes (z up, facing -y) to SMPL's (y up, facing +z)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def t_pose_rotations(model: anny.Anny, heads: torch.Tensor, bones: dict[str, int]) -> torch.Tensor:
    """Compute world rotations [bones, 3, 3] that stretch the arms sideways and the legs down."""
    limb_rotations = {}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        sideways = torch.tensor([sign, 0, 0], dtype=heads.dtype)
        downward = torch.tensor([0.03 * sign, 0, -1.0], dtype=heads.dtype)
        chains = (
            (("upperarm01", "lowerarm01", "wrist", "finger3-1"), sideways),
            (("upperleg01", "lowerleg01", "foot"), downward),
        )
        for names, direction in chains:
            for name, following in pairwise(names):
                start, end = bones[f"{name}.{side}"], bones[f"{following}.{side}"]
                limb_rotations[start] = rotation_between(heads[end] - heads[start], direction)
        limb_rotations[bones[f"foot.{side}"]] = torch.eye(3, dtype=heads.dtype)
    rotations = torch.eye(3, dtype=heads.dtype).repeat(len(bones), 1, 1)
    for bone, parent in enumerate(model.bone_parents):
        if bone in limb_rotations:
            rotations[bone] = limb_rotations[bone]
        elif parent >= 0:
            rotations[bone] = rotations[parent]
    return rotations


def rotation_between(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Compute the smallest rotation from one direction to another, [3, 3]."""
    start, end = start / start.norm(), end / end.norm()
    axis = torch.linalg.cross(start, end)
    sine = axis.norm()
    if sine < 1e-8:
        return torch.eye(3, dtype=start.dtype)
    return roma.rotvec_to_rotmat(axis / sine * torch.atan2(sine, start @ end))


def sample_phenotypes(count: int, labels: list[str], rng: np.random.Generator) -> torch.Tensor:
    """Sample phenotypes [N, labels] in 0..1, mostly of adults; the first is average."""
    gender = np.where(rng.random(count) < 0.5, 0.08, 0.92)
    is_adult = rng.random(count) >= 0.06
    values = {
        "gender": np.clip(rng.normal(gender, 0.08), 0, 1),
        "age": np.where(is_adult, rng.uniform(0.6, 1, count), rng.uniform(0.35, 0.6, count)),
        "muscle": rng.beta(4, 4, count),
        "weight": rng.beta(3, 3, count),
        "height": np.clip(rng.normal(0.5, 0.10, count), 0.2, 0.8),
        "proportions": rng.beta(3, 3, count),
    }
    for name, average in zip(values, (0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5), strict=True):
        values[name][0] = average
    return torch.tensor(np.stack([values[label] for label in labels], 1))


def merged_skinning(model: anny.Anny) -> np.ndarray:
    """Sum the skinning weights of all bones that are merged into each joint, [V, 24]."""
    joint = np.array([joint_of(name) for name in model.bone_labels])
    indices, weights = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    skinning = np.zeros((len(indices), 24))
    for index, weight in zip(indices.T, weights.T, strict=True):
        np.add.at(skinning, (np.arange(len(indices)), joint[index]), weight)
    return skinning


def joint_of(bone: str) -> int:
    """Return the SMPL joint that a bone of anny is merged into."""
    prefix = max((name for name in MERGED if bone.startswith(name)), key=len)
    is_right = bone.endswith(".R") and prefix not in ("eye",)
    return MERGED[prefix] + is_right


def decimate(vertices: np.ndarray, faces: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Simplify a mesh to a subset of its vertices.

    Returns:
        Indices of the remaining vertices [V'], and faces [F', 3] among them.
    """
    moved, simplified = fast_simplification.simplify(
        vertices.astype(np.float32),
        faces.astype(np.int32),
        target_reduction=1 - target / len(faces),
    )
    distance, nearest = cKDTree(vertices).query(moved)
    simplified = nearest[simplified]
    proper = (simplified != np.roll(simplified, 1, axis=1)).all(1)  # without repeated vertices
    kept_index, faces = np.unique(simplified[proper], return_inverse=True)
    print(
        f"decimation: {len(vertices)} -> {len(kept_index)} vertices, moved at most "
        f"{distance.max():.4f} m"
    )
    return kept_index, faces.reshape(-1, 3)


def principal_shapes(
    vertices: np.ndarray, count: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute shape directions with PCA.

    Returns:
        Mean [V, 3], directions of one standard deviation [V, 3, S], and coefficients [N, S].
    """
    people = len(vertices)
    mean = vertices.mean(0)
    left, strength, right = np.linalg.svd(
        (vertices - mean).reshape(people, -1), full_matrices=False
    )
    spread = strength[:count] / np.sqrt(people)
    directions = (right[:count] * spread[:, None]).reshape(count, -1, 3).transpose(1, 2, 0)
    samples = left[:, :count] * np.sqrt(people)
    error = np.linalg.norm(mean + np.einsum("vck,nk->nvc", directions, samples) - vertices, axis=-1)
    print(f"{count} shape directions: mean vertex error {1000 * error.mean():.2f} mm")
    return mean, directions, samples


def joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, mean: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fit joints as non-negative means of their 60 nearest vertices, [24, V]."""
    regressor = np.zeros((24, len(mean)))
    sample = rng.choice(len(vertices), 200, replace=False)
    errors = []
    for joint in range(24):
        near = np.argsort(np.linalg.norm(mean - joints[:, joint].mean(0), axis=1))[:60]
        system = vertices[sample][:, near].transpose(0, 2, 1).reshape(-1, 60)
        sums_to_one = np.full((1, 60), 10.0)
        target = np.append(joints[sample, joint].reshape(-1), 10.0)
        weights, _ = nnls(np.vstack([system, sums_to_one]), target)
        regressor[joint, near] = weights / weights.sum()
        predicted = np.einsum("v,nvc->nc", regressor[joint, near], vertices[:, near])
        errors.append(1000 * np.linalg.norm(predicted - joints[:, joint], axis=-1).mean())
    worst = int(np.argmax(errors))
    print(
        f"joints: mean error {np.mean(errors):.1f} mm, worst {JOINTS[worst]} {errors[worst]:.1f} mm"
    )
    return regressor


if __name__ == "__main__":
    main()

"""Renderer of pedestrian crops with their ground-truth bodies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.model import BodyModel, PosedBodies, built_in_body
from reid_gen.pedestrians.cameras import Camera, sample_camera
from reid_gen.pedestrians.compositing import SUPERSAMPLING, Shot, composite, expose, sample_shot
from reid_gen.pedestrians.gait import walking_poses
from reid_gen.pedestrians.garments import ClothedBody, Landmarks, dress
from reid_gen.pedestrians.people import Person, sample_person
from reid_gen.pedestrians.projection import Framing, Projection, fit_to_box, fit_weak_perspective
from reid_gen.pedestrians.shading import PersonLayer, render_person
from reid_gen.types import Float32Array, Uint8Array

FIRST_BYSTANDER = 1_000_000
"""Person indices from here on are bystanders in other people's boxes and distractors."""


@dataclass(frozen=True)
class GroundTruthBody:
    """Ground-truth body in a crop, in the parameters of human mesh recovery.

    Attributes:
        pose: SMPL pose as axis-angle in radians, root (body to camera coordinates) first, [24, 3].
        shape: Shape coefficients, [10].
        camera: Weak-perspective camera: scale, x and y in half heights of the crop, [3].
        yaw: Rotation about the vertical axis in degrees, 0 to 360; 0 faces the camera.
    """

    pose: Float32Array
    shape: Float32Array
    camera: Float32Array
    yaw: float


@dataclass(frozen=True)
class CropSpec:
    """Everything that determines a crop, before it is rendered.

    Attributes:
        person: Index of the person.
        camera: Index of the camera.
        pose: SMPL pose as axis-angle in radians, [24, 3].
        shot: Framing, background window, occluder, bystander, blur and noise.
        bystander_pose: SMPL pose of the bystander, used if ``shot`` has one, [24, 3].
    """

    person: int
    camera: int
    pose: Float32Array
    shot: Shot
    bystander_pose: Float32Array


class PedestrianRenderer:
    """Samples crops and renders them; the same seed always gives the same people and cameras.

    Args:
        seed: Seed of the data set.
        height: Crop height in pixels.
        width: Crop width in pixels.
    """

    def __init__(self, seed: int, height: int = 128, width: int = 64) -> None:
        self.seed = seed
        self.height = height
        self.width = width
        self.body = built_in_body().arrays
        self.landmarks = Landmarks(self.body)
        # Consecutive crops often show the same people and cameras.
        self._clothed_person = lru_cache(maxsize=8)(self._build_person)
        self.camera = lru_cache(maxsize=64)(self._build_camera)

    def _build_camera(self, index: int) -> Camera:
        return sample_camera(self.seed, index)

    def _build_person(self, index: int) -> tuple[Person, ClothedBody, BodyModel]:
        shapes = self.body.shape_samples
        assert shapes is not None  # the built-in body has them
        person = sample_person(self.seed, index, shapes)
        clothed = dress(self.body, person)
        return person, clothed, BodyModel(clothed.arrays)

    def sample_crop(self, person: int, camera: int, repeat: int) -> CropSpec:
        """Sample the ``repeat``-th crop of a person in a camera; always the same one."""
        rng = np.random.default_rng([self.seed, 4, person, camera, repeat])
        poses = walking_poses(2, rng).astype(np.float32)
        return CropSpec(person, camera, poses[0], sample_shot(self.camera(camera), rng), poses[1])

    def sample_distractor(self, index: int, camera: int) -> CropSpec:
        """Sample a false detection: a part of a person at the edge of the box, or nobody."""
        crop = self.sample_crop(2 * FIRST_BYSTANDER + index, camera, 0)
        rng = np.random.default_rng([self.seed, 6, index])
        side = 1 if rng.random() < 0.5 else -1
        framing = replace(
            crop.shot.framing,
            fill=rng.uniform(1.2, 2.2),
            x=side * rng.uniform(0.3, 0.9),
            y=rng.uniform(-0.7, 0.7),
        )
        return replace(crop, shot=replace(crop.shot, framing=framing))

    def render(self, crop: CropSpec, degrees: float = 0) -> Uint8Array:
        """Render a crop in display colours before JPEG compression, [H, W, 3].

        Args:
            crop: Crop of this renderer.
            degrees: Rotation of the person to their left in degrees; nothing else changes. The
                result is the ground-truth turned view against which generated views are evaluated.
        """
        camera = self.camera(crop.camera)
        shot = crop.shot
        person = self._render_layer(crop.person, crop.pose, shot.framing, camera, degrees)
        bystander = None
        if shot.bystander is not None:
            index = FIRST_BYSTANDER + shot.noise_seed % FIRST_BYSTANDER
            bystander = self._render_layer(index, crop.bystander_pose, shot.bystander, camera)
        return expose(composite(shot, camera, person, bystander), camera.response, shot)

    def ground_truth(self, crop: CropSpec) -> GroundTruthBody:
        """Compute the ground-truth body of a crop."""
        person, _, _ = self._clothed_person(crop.person)
        posed, projection = self._pose_body(crop.person, crop.pose, crop.shot.framing)
        joints = posed.joints[0].numpy()
        pose = crop.pose.copy()
        root = Rotation.from_matrix(projection.rotation) * Rotation.from_rotvec(pose[0])
        pose[0] = root.as_rotvec()
        camera = fit_weak_perspective(projection, joints, *self._render_size)
        yaw = float(np.rad2deg(crop.shot.framing.yaw) % 360)
        return GroundTruthBody(pose, person.shape, camera, yaw)

    @property
    def _render_size(self) -> tuple[int, int]:
        """Height and width before downsampling."""
        return self.height * SUPERSAMPLING, self.width * SUPERSAMPLING

    def _pose_body(
        self, index: int, pose: Float32Array, framing: Framing
    ) -> tuple[PosedBodies, Projection]:
        """Pose the clothed body of a person and fit its projection to the box."""
        person, _, model = self._clothed_person(index)
        rotation = Rotation.from_rotvec(pose).as_matrix().astype(np.float32)
        with torch.no_grad():
            posed = model(torch.from_numpy(rotation)[None], torch.from_numpy(person.shape)[None])
        vertices = posed.vertices[0].numpy()
        return posed, fit_to_box(vertices, framing, *self._render_size)

    def _render_layer(
        self, index: int, pose: Float32Array, framing: Framing, camera: Camera, degrees: float = 0
    ) -> PersonLayer:
        """Render a person without background, turned to their left by ``degrees``."""
        person, clothed, _ = self._clothed_person(index)
        posed, projection = self._pose_body(index, pose, framing)
        projection = projection.turned(np.deg2rad(degrees))
        vertices = posed.vertices[0].numpy()
        height, width = self._render_size
        return render_person(
            person,
            clothed,
            self.landmarks,
            vertices,
            projection,
            camera.light,
            height=height,
            width=width,
        )

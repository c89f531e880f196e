"""Where people are photographed: all that does not change from crop to crop, and the crops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.model import BodyModel, PosedBodies, built_in_body
from reid_gen.pedestrians.cameras import Camera, draw_camera
from reid_gen.pedestrians.compositing import FINER, Shot, compose, draw_shot, expose
from reid_gen.pedestrians.gait import walking_poses
from reid_gen.pedestrians.garments import Dressed, Landmarks, dress
from reid_gen.pedestrians.people import Person, draw_person
from reid_gen.pedestrians.projection import Framing, View, frame, weak_camera
from reid_gen.pedestrians.shading import Picture, shade
from reid_gen.types import Float32Array, Uint8Array

STRANGERS = 1_000_000
"""Numbers from here on are people who only pass through other people's boxes."""


@dataclass(frozen=True)
class Truth:
    """The body in a crop, as mesh recovery would state it.

    Attributes:
        pose: Rotation vectors in radians, the first from body to camera coordinates, [24, 3].
        shape: Coefficients, [10].
        camera: Weak perspective: scale, x, y in half heights, [3].
        yaw: Turn about the vertical axis in degrees, 0 to 360; 0 faces the camera.
    """

    pose: Float32Array
    shape: Float32Array
    camera: Float32Array
    yaw: float


@dataclass(frozen=True)
class Take:
    """One crop before it is rendered: who, in which pose, and everything else.

    Attributes:
        number: Of the person.
        camera: Number of the camera.
        pose: Rotation vectors, [24, 3].
        shot: What else is random.
        neighbour_pose: Of the other person in the box, [24, 3].
    """

    number: int
    camera: int
    pose: Float32Array
    shot: Shot
    neighbour_pose: Float32Array


class Studio:
    """Draws takes and renders them; the same seed always gives the same people and cameras.

    Args:
        seed: Of the data set.
        height: Of a crop in pixels.
        width: Of a crop in pixels.
    """

    def __init__(self, seed: int, height: int = 128, width: int = 64) -> None:
        self.seed = seed
        self.height = height
        self.width = width
        self.body = built_in_body().arrays
        self.marks = Landmarks(self.body)
        # People and cameras are used for many crops in a row.
        self._dressed = lru_cache(maxsize=8)(self._dress)
        self.camera = lru_cache(maxsize=64)(self._camera)

    def _camera(self, number: int) -> Camera:
        return draw_camera(self.seed, number)

    def _dress(self, number: int) -> tuple[Person, Dressed, BodyModel]:
        shapes = self.body.shape_samples
        assert shapes is not None  # the built-in body has them
        person = draw_person(self.seed, number, shapes)
        dressed = dress(self.body, person)
        return person, dressed, BodyModel(dressed.arrays)

    def take(self, number: int, camera: int, repeat: int) -> Take:
        """Draw the ``repeat``-th crop of a person in a camera."""
        rng = np.random.default_rng([self.seed, 4, number, camera, repeat])
        poses = walking_poses(2, rng).astype(np.float32)
        return Take(number, camera, poses[0], draw_shot(self.camera(camera), rng), poses[1])

    def distractor(self, index: int, camera: int) -> Take:
        """Draw a bad detection: a stranger's leg or head at the edge of a box, or no one."""
        take = self.take(2 * STRANGERS + index, camera, 0)
        rng = np.random.default_rng([self.seed, 6, index])
        side = 1 if rng.random() < 0.5 else -1
        framing = replace(
            take.shot.framing,
            fill=rng.uniform(1.2, 2.2),
            x=side * rng.uniform(0.3, 0.9),
            y=rng.uniform(-0.7, 0.7),
        )
        return replace(take, shot=replace(take.shot, framing=framing))

    def photograph(self, take: Take, degrees: float = 0) -> Uint8Array:
        """Render a take, [H, W, 3] display colours.

        Args:
            take: Of this studio.
            degrees: How far the person is turned to their left first; nothing else changes. This is
                the true turned view that generated ones are measured against.

        Returns:
            The crop before JPEG.
        """
        camera = self.camera(take.camera)
        shot = take.shot
        person = self._picture(take.number, take.pose, shot.framing, camera, degrees)
        neighbour = None
        if shot.neighbour is not None:
            stranger = STRANGERS + shot.noise % STRANGERS
            neighbour = self._picture(stranger, take.neighbour_pose, shot.neighbour, camera)
        return expose(compose(shot, camera, person, neighbour), camera.response, shot)

    def truth(self, take: Take) -> Truth:
        """The body in a take."""
        person, _, _ = self._dressed(take.number)
        posed, view = self._stand(take.number, take.pose, take.shot.framing)
        joints = posed.joints[0].numpy()
        pose = take.pose.copy()
        root = Rotation.from_matrix(view.rotation) * Rotation.from_rotvec(pose[0])
        pose[0] = root.as_rotvec()
        camera = weak_camera(view, joints, self.height * FINER, self.width * FINER)
        yaw = float(np.rad2deg(take.shot.framing.yaw) % 360)
        return Truth(pose, person.shape, camera, yaw)

    def _stand(self, number: int, pose: Float32Array, framing: Framing) -> tuple[PosedBodies, View]:
        person, _, model = self._dressed(number)
        rotation = Rotation.from_rotvec(pose).as_matrix().astype(np.float32)
        with torch.no_grad():
            posed = model(torch.from_numpy(rotation)[None], torch.from_numpy(person.shape)[None])
        vertices = posed.vertices[0].numpy()
        return posed, frame(vertices, framing, self.height * FINER, self.width * FINER)

    def _picture(
        self, number: int, pose: Float32Array, framing: Framing, camera: Camera, degrees: float = 0
    ) -> Picture:
        person, dressed, _ = self._dressed(number)
        posed, view = self._stand(number, pose, framing)
        view = view.turned(np.deg2rad(degrees))
        size = (self.height * FINER, self.width * FINER)
        vertices = posed.vertices[0].numpy()
        return shade(person, dressed, self.marks, vertices, view, camera.light, *size)

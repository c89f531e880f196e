"""Structure maps of the people in images, from any side: drawn when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project, turned, upright
from reid_gen.body.model import BodyModel
from reid_gen.body.render.map_kinds import PAINTED, Mesh, draw_structure
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.render.texture import look_alikes, paint
from reid_gen.body.table import BodyTable
from reid_gen.types import Float32Array, Int64Array, Uint8Array

BODY = "body"
"""The axis that bodies turn about unless it is the picture's."""


class StructureMaps:
    """Draws bodies of a table as their images would show them after a turn.

    Threads may share one: drawing releases Python's lock.

    Args:
        table: The bodies.
        model: What their parameters are of.
        height: Of a map in pixels.
        width: Of a map in pixels.
        rasteriser: One of ``backends.RASTERISERS``.
        axis: What bodies turn about: the upright axis of each (``body``) or the picture's vertical
            (``picture``), as in GCL.
    """

    def __init__(
        self,
        table: BodyTable,
        model: BodyModel,
        height: int,
        width: int,
        rasteriser: Rasteriser = rasterise,
        axis: str = BODY,
    ) -> None:
        self.table = table
        self.model = model
        self.height = height
        self.width = width
        self.rasteriser = rasteriser
        self.axis = axis

    def __call__(
        self,
        kind: str,
        keys: Sequence[str],
        degrees: Float32Array,
        pictures: Uint8Array | None = None,
    ) -> Float32Array:
        """Maps in -1..1, [B, C, H, W].

        Args:
            kind: A key of ``structure.KINDS``.
            keys: Of B images.
            degrees: How far each is turned, in the direction of ``camera.turned``, [B].
            pictures: The images themselves, for maps that are ``painted`` after them,
                [B, H, W, 3] uint8.

        Raises:
            UserError: If the table lacks an image, or the kind is unknown.
        """
        mesh = self.meshes(keys, degrees)
        if kind == PAINTED:
            assert pictures is not None
            mesh = replace(mesh, colours=self._colours(keys, pictures))
        return draw_structure(mesh, kind, self.height, self.width)

    def _colours(self, keys: Sequence[str], pictures: Uint8Array) -> Float32Array:
        """Of the bodies' surfaces, [B, V, 3]; an image that is asked for twice is painted once."""
        names, first, row = np.unique(keys, return_index=True, return_inverse=True)
        seen = self.meshes([str(name) for name in names], np.zeros(len(names), np.float32))
        fragments = self.rasteriser(seen.screen, seen.faces, self.height, self.width)
        colours = paint(pictures[first], fragments, seen.faces, self._alike)
        return colours[row]

    @cached_property
    def _alike(self) -> Int64Array:
        return look_alikes(self.model.arrays.template)

    def meshes(self, keys: Sequence[str], degrees: Float32Array) -> Mesh:
        """The turned bodies of B images.

        Raises:
            UserError: If the table lacks an image.
        """
        bodies = self.table.of(keys)
        rotation = Rotation.from_rotvec(bodies.pose.reshape(-1, 3)).as_matrix()
        matrices = torch.from_numpy(rotation.reshape(-1, 24, 3, 3)).float()
        with torch.no_grad():
            posed = self.model(matrices, torch.from_numpy(bodies.shape))
        about_pelvis = (posed.vertices - posed.joints[:, :1]).numpy()
        up = upright(bodies.pose) if self.axis == BODY else None
        vertices = turned(about_pelvis, degrees, up)
        screen = project(vertices, bodies.camera, self.height, self.width, bodies.size)
        return Mesh(
            vertices,
            screen,
            self.model.faces,
            self.model.arrays.skinning,
            rasteriser=self.rasteriser,
        )

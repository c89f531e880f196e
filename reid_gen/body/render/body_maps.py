"""Body maps of the people in images from any viewpoint, rendered on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import pelvis_up_axis, project, rotate_bodies
from reid_gen.body.model import BodyModel
from reid_gen.body.render.map_kinds import MAP_KINDS, Mesh, render_body_maps
from reid_gen.body.render.rasterise import Rasteriser, rasterise
from reid_gen.body.render.texture import sample_vertex_colours, similar_vertices
from reid_gen.body.table import BodyTable
from reid_gen.choices import MapName
from reid_gen.types import Float32Array, Int64Array, Uint8Array

BODY_AXIS = "body"
"""Rotation about each body's own up axis; the alternative is the image's vertical."""


class BodyMapRenderer:
    """Renders body maps of the images in a body table, with each body rotated by a given angle.

    Thread-safe; rendering releases the GIL.

    Args:
        table: Body parameters of the images.
        model: Body model that the parameters belong to.
        height: Map height in pixels.
        width: Map width in pixels.
        rasteriser: One of ``rasterisers.RASTERISERS``.
        axis: Rotation axis: each body's own up axis (``body``), or the image's vertical
            (``picture``), as in GCL.
    """

    def __init__(
        self,
        table: BodyTable,
        model: BodyModel,
        height: int,
        width: int,
        rasteriser: Rasteriser = rasterise,
        axis: str = BODY_AXIS,
    ) -> None:
        self.table = table
        self.model = model
        self.height = height
        self.width = width
        self.rasteriser = rasteriser
        self.axis = axis

    def __call__(
        self,
        kind: MapName,
        keys: Sequence[str],
        degrees: Float32Array,
        images: Uint8Array | None = None,
    ) -> Float32Array:
        """Render the body maps of B images.

        Args:
            kind: A key of ``map_kinds.MAP_KINDS``.
            keys: Keys of the images.
            degrees: Rotation angle of each body, as in ``camera.rotate_bodies``, [B].
            images: RGB values of the images, [B, H, W, 3] uint8; needed for ``painted`` maps only.

        Returns:
            Maps in -1..1, [B, C, H, W].

        Raises:
            UserError: If the table lacks an image, or the kind is unknown.
        """
        mesh = self.meshes(keys, degrees)
        if MAP_KINDS[kind].textured:
            assert images is not None
            mesh = replace(mesh, colours=self._vertex_colours(keys, images))
        return render_body_maps(mesh, kind, self.height, self.width)

    def _vertex_colours(self, keys: Sequence[str], images: Uint8Array) -> Float32Array:
        """Sample vertex colours from the images, [B, V, 3]; repeated images are sampled once."""
        unique_keys, first, row = np.unique(keys, return_index=True, return_inverse=True)
        degrees = np.zeros(len(unique_keys), np.float32)
        mesh = self.meshes([str(key) for key in unique_keys], degrees)
        fragments = self.rasteriser(mesh.screen, mesh.faces, self.height, self.width)
        colours = sample_vertex_colours(
            images[first], fragments, mesh.faces, self._similar_vertices
        )
        return colours[row]

    @cached_property
    def _similar_vertices(self) -> Int64Array:
        return similar_vertices(self.model.arrays.template)

    def meshes(self, keys: Sequence[str], degrees: Float32Array) -> Mesh:
        """Build the rotated meshes of B images.

        Args:
            keys: Keys of the images.
            degrees: Rotation angle of each body, [B].

        Raises:
            UserError: If the table lacks an image.
        """
        bodies = self.table.select(keys)
        rotation = Rotation.from_rotvec(bodies.pose.reshape(-1, 3)).as_matrix()
        matrices = torch.from_numpy(rotation.reshape(-1, 24, 3, 3)).float()
        with torch.no_grad():
            posed = self.model(matrices, torch.from_numpy(bodies.shape))
        relative_to_pelvis = (posed.vertices - posed.joints[:, :1]).numpy()
        up = pelvis_up_axis(bodies.pose) if self.axis == BODY_AXIS else None
        vertices = rotate_bodies(relative_to_pelvis, degrees, up)
        screen = project(vertices, bodies.camera, self.height, self.width, bodies.size)
        return Mesh(
            vertices,
            screen,
            self.model.faces,
            self.model.arrays.skinning,
            rasteriser=self.rasteriser,
        )

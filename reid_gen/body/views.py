"""Structure maps of the people in images, from any side: drawn when they are needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.spatial.transform import Rotation

from reid_gen.body.camera import project, turned, upright
from reid_gen.body.model import BodyModel
from reid_gen.body.rasterise import Rasteriser, rasterise
from reid_gen.body.structure import Mesh, draw_structure
from reid_gen.body.table import BodyTable
from reid_gen.types import Floats


class StructureMaps:
    """Draws bodies of a table as their images would show them after a turn.

    Threads may share one: drawing releases Python's lock.

    Args:
        table: The bodies.
        model: What their parameters are of.
        height: Of a map in pixels.
        width: Of a map in pixels.
        rasteriser: One of ``backends.RASTERISERS``.
    """

    def __init__(
        self,
        table: BodyTable,
        model: BodyModel,
        height: int,
        width: int,
        rasteriser: Rasteriser = rasterise,
    ) -> None:
        self.table = table
        self.model = model
        self.height = height
        self.width = width
        self.rasteriser = rasteriser

    def __call__(self, kind: str, keys: Sequence[str], degrees: Floats) -> Floats:
        """Maps in -1..1, [B, C, H, W].

        Args:
            kind: A key of ``structure.KINDS``.
            keys: Of B images.
            degrees: How far each is turned, in the direction of ``camera.turned``, [B].

        Raises:
            UserError: If the table lacks an image, or the kind is unknown.
        """
        mesh = self.meshes(keys, degrees)
        return draw_structure(mesh, kind, self.height, self.width, self.rasteriser)

    def meshes(self, keys: Sequence[str], degrees: Floats) -> Mesh:
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
        vertices = turned(about_pelvis, degrees, upright(bodies.pose))
        screen = project(vertices, bodies.camera, self.height, self.width, bodies.size)
        return Mesh(vertices, screen, self.model.faces, self.model.arrays.skinning)

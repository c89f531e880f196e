"""Body model: vertices and joints from pose and shape, computed by smplx."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.smpl_file import read_smpl
from reid_gen.extras import need


@dataclass(frozen=True)
class PosedBodies:
    """Vertices and joints of posed bodies.

    Attributes:
        vertices: Vertices in metres, in the frame that the root's rotation maps to, [B, V, 3].
        joints: Joints in SMPL's order, in the same frame, [B, 24, 3].
    """

    vertices: Tensor
    joints: Tensor


class BodyModel(nn.Module):
    """A body model in SMPL format: SMPL itself or any model with the same arrays.

    Args:
        arrays: Template, blend shapes, joint regressor and skinning weights.

    Raises:
        UserError: If smplx is not installed.
    """

    def __init__(self, arrays: BodyArrays) -> None:
        need("a body model", "smplx")
        import smplx
        from smplx.utils import Struct
        from smplx.vertex_ids import vertex_ids

        super().__init__()
        self.arrays = arrays
        smpl_arrays = {
            "v_template": arrays.template,
            "shapedirs": arrays.shape_directions,
            "posedirs": arrays.pose_directions,
            "J_regressor": arrays.joint_regressor,
            "weights": arrays.skinning,
            "kintree_table": np.stack([arrays.parents, np.arange(24)]),
            "f": arrays.faces.astype(np.int64),
        }
        # smplx picks extra joints from fixed vertex indices that exist only in SMPL's own mesh.
        extra_joint_vertices = dict.fromkeys(vertex_ids["smplh"], 0)
        with contextlib.redirect_stdout(io.StringIO()):
            self._layer = smplx.SMPLLayer(
                "",
                data_struct=Struct(**smpl_arrays),
                vertex_ids=extra_joint_vertices,
                num_betas=self.num_betas,
            )

    @property
    def num_betas(self) -> int:
        """Number of shape coefficients, S."""
        return int(self.arrays.shape_directions.shape[-1])

    @property
    def faces(self) -> NDArray[np.int32]:
        """Vertex indices of each triangle, [F, 3]."""
        return self.arrays.faces

    def forward_joints(self, pose: Tensor, shape: Tensor) -> Tensor:
        """Compute the joints only, which is many times faster than :meth:`forward`.

        Args:
            pose: Rotation matrices, root first, [B, 24, 3, 3].
            shape: Shape coefficients, [B, S].

        Returns:
            Joints in metres, [B, 24, 3].
        """
        from smplx.lbs import batch_rigid_transform

        layer = self._layer
        mean_joints = torch.einsum("jv,bvc->bjc", layer.J_regressor, layer.v_template[None])
        directions = torch.einsum("jv,vcs->jcs", layer.J_regressor, layer.shapedirs)
        shaped_joints = mean_joints + torch.einsum("jcs,bs->bjc", directions, shape)
        posed_joints: Tensor = batch_rigid_transform(pose, shaped_joints, layer.parents)[0]
        return posed_joints

    def forward(self, pose: Tensor, shape: Tensor) -> PosedBodies:
        """Pose and shape the body.

        Args:
            pose: Rotation matrices, root first, [B, 24, 3, 3].
            shape: Shape coefficients, [B, S].

        Returns:
            Vertices and joints in metres.
        """
        output = self._layer(betas=shape, global_orient=pose[:, :1], body_pose=pose[:, 1:])
        return PosedBodies(output.vertices, output.joints[:, :24])


@lru_cache(maxsize=1)
def built_in_body() -> BodyModel:
    """Return the bundled body model, cached; see ``assets/README.md`` for licence and origin."""
    path = files("reid_gen.body") / "assets" / "body.npz"
    with path.open("rb") as file, np.load(file) as body:
        num_vertices = len(body["template"])
        arrays = BodyArrays(
            template=body["template"].astype(np.float32),
            shape_directions=body["shape_directions"].astype(np.float32),
            pose_directions=np.zeros((num_vertices, 3, 207), np.float32),
            joint_regressor=body["joint_regressor"].astype(np.float32),
            skinning=body["skinning"].astype(np.float32),
            parents=body["parents"].astype(np.int64),
            faces=body["faces"].astype(np.int32),
            shape_samples=body["shape_samples"].astype(np.float32),
        )
    return BodyModel(arrays)


def load_body(path: Path | None) -> BodyModel:
    """Load an SMPL model from disk, or the built-in body.

    Args:
        path: SMPL file, or a folder that contains one; None for the built-in body.

    Returns:
        The body model.

    Raises:
        UserError: If ``path`` holds no SMPL model.
    """
    return built_in_body() if path is None else BodyModel(read_smpl(path))

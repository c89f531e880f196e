"""Bodies in any pose and shape, by smplx."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import smplx
import torch
from numpy.typing import NDArray
from smplx.lbs import batch_rigid_transform
from smplx.utils import Struct
from smplx.vertex_ids import vertex_ids
from torch import Tensor, nn

from reid_gen.body.arrays import BodyArrays
from reid_gen.body.smpl_file import read_smpl


@dataclass(frozen=True)
class Posed:
    """Bodies in a pose.

    Attributes:
        vertices: [B, V, 3] metres, in the frame of the root's rotation.
        joints: In SMPL's order, [B, 24, 3].
    """

    vertices: Tensor
    joints: Tensor


class BodyModel(nn.Module):
    """A body model of the SMPL kind, SMPL's own file or any other in its format.

    Args:
        arrays: What it consists of.
    """

    def __init__(self, arrays: BodyArrays) -> None:
        super().__init__()
        self.arrays = arrays
        content = {
            "v_template": arrays.template,
            "shapedirs": arrays.shape_directions,
            "posedirs": arrays.pose_directions,
            "J_regressor": arrays.joint_regressor,
            "weights": arrays.skinning,
            "kintree_table": np.stack([arrays.parents, np.arange(24)]),
            "f": arrays.faces.astype(np.int64),
        }
        # smplx reads extra joints off fixed vertices that only a body of SMPL's own mesh has.
        landmarks = dict.fromkeys(vertex_ids["smplh"], 0)
        with contextlib.redirect_stdout(io.StringIO()):
            self._layer = smplx.SMPLLayer(
                "", data_struct=Struct(**content), vertex_ids=landmarks, num_betas=self.shapes
            )

    @property
    def shapes(self) -> int:
        """S, the number of shape coefficients."""
        return int(self.arrays.shape_directions.shape[-1])

    @property
    def faces(self) -> NDArray[np.int32]:
        """[F, 3]."""
        return self.arrays.faces

    def joints(self, pose: Tensor, shape: Tensor) -> Tensor:
        """Joints without vertices, which is many times as fast: [B, 24, 3].

        Args:
            pose: Rotation matrices, root first, [B, 24, 3, 3].
            shape: Coefficients, [B, S].
        """
        layer = self._layer
        at_rest = torch.einsum("jv,bvc->bjc", layer.J_regressor, layer.v_template[None])
        directions = torch.einsum("jv,vcs->jcs", layer.J_regressor, layer.shapedirs)
        shaped = at_rest + torch.einsum("jcs,bs->bjc", directions, shape)
        posed, _ = batch_rigid_transform(pose, shaped, layer.parents)
        return posed

    def forward(self, pose: Tensor, shape: Tensor) -> Posed:
        """Pose bodies.

        Args:
            pose: Rotation matrices, root first, [B, 24, 3, 3].
            shape: Coefficients, [B, S].

        Returns:
            Vertices and joints.
        """
        posed = self._layer(betas=shape, global_orient=pose[:, :1], body_pose=pose[:, 1:])
        return Posed(posed.vertices, posed.joints[:, :24])


@lru_cache(maxsize=1)
def built_in() -> BodyModel:
    """The body that comes with the program; licence and provenance lie beside its file."""
    with (files("reid_gen.body") / "assets" / "body.npz").open("rb") as file, np.load(file) as body:
        count = len(body["template"])
        arrays = BodyArrays(
            template=body["template"].astype(np.float32),
            shape_directions=body["shape_directions"].astype(np.float32),
            pose_directions=np.zeros((count, 3, 207), np.float32),
            joint_regressor=body["joint_regressor"].astype(np.float32),
            skinning=body["skinning"].astype(np.float32),
            parents=body["parents"].astype(np.int64),
            faces=body["faces"].astype(np.int32),
            shape_samples=body["shape_samples"].astype(np.float32),
        )
    return BodyModel(arrays)


def load_body(path: Path | None) -> BodyModel:
    """A user's SMPL model, or the built-in body.

    Args:
        path: SMPL file or folder; None for the built-in body.

    Returns:
        The model.

    Raises:
        UserError: If there is no SMPL model at ``path``.
    """
    return built_in() if path is None else BodyModel(read_smpl(path))

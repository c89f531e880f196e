"""Body estimation with user-supplied checkpoints of published networks; needs SMPL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from reid_gen.body.estimate.foreign_files import from_hmr_convention
from reid_gen.body.estimate.hmr2 import Hmr2Network
from reid_gen.body.estimate.spin import SpinNetwork
from reid_gen.body.model import BodyModel
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.tensors import load_strictly, read_content, unwrap_state_dict
from reid_gen.types import Uint8Array

SUFFIXES = (".pt", ".pth", ".ckpt")
NETWORKS: dict[str, type[SpinNetwork] | type[Hmr2Network]] = {
    "fc1.weight": SpinNetwork,
    "smpl_head.decpose.weight": Hmr2Network,
}
"""Name of a tensor that only this network's checkpoints have -> network."""
RULE = (
    "give a checkpoint of SPIN or EFT (ResNet-50, fc1 to deccam) or of 4D-Humans (backbone and "
    "smpl_head)"
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CheckpointEstimator:
    """Estimates bodies with a published network, loaded from a checkpoint.

    Args:
        checkpoint: File with one of ``SUFFIXES`` that holds a state dict, bare or under ``model``
            or ``state_dict``.
        body: SMPL, the body model of these networks.

    Raises:
        UserError: If the file is missing or holds an unknown network.
    """

    def __init__(self, checkpoint: Path, body: BodyModel) -> None:
        self.source = f"checkpoint {checkpoint.name}"
        self.body = body
        state = _read_state(checkpoint)
        networks = [network for name, network in NETWORKS.items() if name in state]
        if not networks:
            raise UserError(f"{checkpoint} holds no known network; {RULE}")
        try:
            self.network = networks[0].from_state_dict(state)
        except (KeyError, ValueError) as error:
            raise UserError(f"{checkpoint} lacks {error.args[0]}; {RULE}") from error
        _load(self.network, state, checkpoint)
        self.height, self.width = self.network.image_size, self.network.image_size // 2

    def __call__(self, keys: tuple[str, ...], pixels: Uint8Array) -> BodyTable:
        """Estimate bodies in crops [B, height, width, 3] in 0..255; the score is always 1."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (_MEAN, _STD))
        margin = (self.height - self.width) // 2
        with torch.no_grad():
            square = F.pad(images, (margin, margin))
            rotation, shape, camera = self.network((square - mean) / std)
        rotation_vectors = Rotation.from_matrix(rotation.reshape(-1, 3, 3).numpy()).as_rotvec()
        size = np.tile([self.height, self.width], (len(keys), 1))
        pose, camera_of_crop = from_hmr_convention(
            rotation_vectors.reshape(-1, 24, 3), shape.numpy(), camera.numpy(), size, self.body
        )
        score = np.ones(len(keys), np.float32)
        return BodyTable(keys, pose, shape.numpy(), camera_of_crop, score, size, self.source)


def _load(network: SpinNetwork | Hmr2Network, state: dict[str, Tensor], checkpoint: Path) -> None:
    """Load the network's own tensors; checkpoints also hold losses, SMPL and discriminators."""
    network_state = {name: state[name] for name in network.state_dict() if name in state}
    load_strictly(network, network_state, str(checkpoint), way_out=RULE)
    network.eval()


def _read_state(checkpoint: Path) -> dict[str, Tensor]:
    content = unwrap_state_dict(read_content(checkpoint))
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}

"""Mesh recovery by networks of SPIN's layout, whose checkpoints users bring with their own SMPL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50

from reid_gen.body.foreign import to_own_frame
from reid_gen.body.model import BodyModel
from reid_gen.body.table import BodyTable
from reid_gen.errors import UserError
from reid_gen.types import Pixels

SIDE = 224
"""Of the square that the network sees."""
RULE = "give a checkpoint of SPIN or EFT (ResNet-50, 6-D rotations, fc1 to deccam)"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TRUNK = (
    *("conv1", "bn1", "relu", "maxpool"), *("layer1", "layer2", "layer3", "layer4"), "avgpool"
)  # fmt: skip
_POSE, _SHAPE, _CAMERA = 144, 10, 3


class SpinNetwork(nn.Module):
    """ResNet-50 and three corrections of the mean body (Kolotouros et al., ICCV 2019).

    Names of parameters are those of the checkpoints.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet50(weights=None)
        for name in _TRUNK:
            self.add_module(name, trunk.get_submodule(name))
        self.fc1 = nn.Linear(2048 + _POSE + _SHAPE + _CAMERA, 1024)
        self.fc2 = nn.Linear(1024, 1024)
        self.decpose = nn.Linear(1024, _POSE)
        self.decshape = nn.Linear(1024, _SHAPE)
        self.deccam = nn.Linear(1024, _CAMERA)
        for name, size in (("pose", _POSE), ("shape", _SHAPE), ("cam", _CAMERA)):
            self.register_buffer(f"init_{name}", torch.zeros(1, size))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations [B, 24, 3, 3], shape [B, 10] and camera [B, 3] of images [B, 3, 224, 224]."""
        x = images
        for name in _TRUNK:
            x = self.get_submodule(name)(x)
        features = x.flatten(1)
        state = [start.expand(len(images), -1) for start in self._start()]
        for _ in range(3):
            hidden = self.fc2(self.fc1(torch.cat([features, *state], 1)))
            corrections = self.decpose(hidden), self.decshape(hidden), self.deccam(hidden)
            state = [value + more for value, more in zip(state, corrections, strict=True)]
        # Its six numbers are the rows of a 3 x 2 matrix: the two columns alternate.
        first, second = state[0].reshape(-1, 24, 3, 2).unbind(-1)
        a = F.normalize(first, dim=-1)
        b = F.normalize(second - (a * second).sum(-1, keepdim=True) * a, dim=-1)
        return torch.stack([a, b, torch.linalg.cross(a, b)], -1), state[1], state[2]

    def _start(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.init_pose, self.init_shape, self.init_cam


class SpinRecovery:
    """Estimates one body per crop with a checkpoint of SPIN's layout.

    Args:
        checkpoint: ``.pt`` file, its network alone or under ``model``.
        body: SMPL, which such checkpoints are trained on.

    Raises:
        UserError: If the file is missing or holds another network.
    """

    height, width = SIDE, SIDE // 2

    def __init__(self, checkpoint: Path, body: BodyModel) -> None:
        self.source = f"SPIN network {checkpoint.name}"
        self.body = body
        self.network = SpinNetwork()
        state = _read(checkpoint)
        own = self.network.state_dict()
        counters = {name for name in own if name.endswith("num_batches_tracked")}
        missing = sorted(own.keys() - state.keys() - counters)
        if missing:
            raise UserError(f"{checkpoint} lacks {missing[0]} and {len(missing) - 1} more; {RULE}")
        for name in own.keys() & state.keys() - counters:
            if own[name].shape != state[name].shape:
                found, wanted = tuple(state[name].shape), tuple(own[name].shape)
                raise UserError(f"{checkpoint}: {name} is {found}, not {wanted}; {RULE}")
        self.network.load_state_dict({n: state[n] for n in own.keys() & state.keys()}, strict=False)
        self.network.eval()

    def __call__(self, keys: tuple[str, ...], pixels: Pixels) -> BodyTable:
        """Estimate bodies in crops [B, 224, 112, 3] in 0..255; there is no score: it is 1."""
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (_MEAN, _STD))
        margin = (SIDE - self.width) // 2
        with torch.no_grad():
            square = F.pad(images, (margin, margin))
            rotation, shape, camera = self.network((square - mean) / std)
        vectors = Rotation.from_matrix(rotation.reshape(-1, 3, 3).numpy()).as_rotvec()
        size = np.tile([self.height, self.width], (len(keys), 1))
        pose, own_camera = to_own_frame(
            vectors.reshape(-1, 24, 3), shape.numpy(), camera.numpy(), size, self.body
        )
        score = np.ones(len(keys), np.float32)
        return BodyTable(keys, pose, shape.numpy(), own_camera, score, size, self.source)


def _read(checkpoint: Path) -> dict[str, Tensor]:
    if not checkpoint.is_file():
        raise UserError(f"no mesh regressor at {checkpoint}; check --weights")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises almost anything
        reason = repr(error).splitlines()[0][:200]
        raise UserError(f"{checkpoint} cannot be read ({reason}); {RULE}") from error
    state = content.get("model", content) if isinstance(content, dict) else {}
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}

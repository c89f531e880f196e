"""SPIN's network, an HMR in PyTorch, for user-supplied checkpoints of SPIN and EFT."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from reid_gen.body.estimate.regressor import from_6d

_BACKBONE = (
    *("conv1", "bn1", "relu", "maxpool"), *("layer1", "layer2", "layer3", "layer4"), "avgpool"
)  # fmt: skip
_POSE, _SHAPE, _CAMERA = 144, 10, 3


class SpinNetwork(nn.Module):
    """ResNet-50 with three iterative corrections of the mean body (Kolotouros et al., ICCV 2019).

    Parameter names match the published checkpoints.
    """

    image_size = 224
    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(self) -> None:
        super().__init__()
        resnet = resnet50(weights=None)
        for name in _BACKBONE:
            self.add_module(name, resnet.get_submodule(name))
        self.fc1 = nn.Linear(2048 + _POSE + _SHAPE + _CAMERA, 1024)
        self.fc2 = nn.Linear(1024, 1024)
        self.decpose = nn.Linear(1024, _POSE)
        self.decshape = nn.Linear(1024, _SHAPE)
        self.deccam = nn.Linear(1024, _CAMERA)
        for name, size in (("pose", _POSE), ("shape", _SHAPE), ("cam", _CAMERA)):
            self.register_buffer(f"init_{name}", torch.zeros(1, size))

    @classmethod
    def from_state_dict(cls, _state: Mapping[str, Tensor]) -> SpinNetwork:
        """Build the network that fits a checkpoint's state dict, with untrained weights."""
        return cls()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Regress rotations [B, 24, 3, 3], shape [B, 10] and camera [B, 3] of [B, 3, 224, 224]."""
        x = images
        for name in _BACKBONE:
            x = self.get_submodule(name)(x)
        features = x.flatten(1)
        state = [value.expand(len(images), -1) for value in self._mean_body()]
        for _ in range(3):
            hidden = self.fc2(self.fc1(torch.cat([features, *state], 1)))
            corrections = self.decpose(hidden), self.decshape(hidden), self.deccam(hidden)
            state = [value + delta for value, delta in zip(state, corrections, strict=True)]
        # SPIN stores its 6-D rotations as rows of a 3 x 2 matrix, so the two columns alternate.
        columns = state[0].reshape(-1, 24, 3, 2).transpose(2, 3).flatten(2)
        return from_6d(columns), state[1], state[2]

    def _mean_body(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.init_pose, self.init_shape, self.init_cam

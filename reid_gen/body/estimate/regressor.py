"""Mesh regressor: pose, shape and camera of the body in a crop, and its training losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

HEIGHT, WIDTH = 128, 64
"""Input size of the regressor in pixels; crops of other sizes are resized without padding."""
_POSE, _SHAPE, _CAMERA, _JOINTS = 24 * 6, 10, 3, 24


@dataclass(frozen=True)
class BodyEstimate:
    """Estimated bodies of B crops.

    Attributes:
        rotation: Rotation matrices, root first and into camera coordinates, [B, 24, 3, 3].
        shape: Shape coefficients, [B, 10].
        camera: Weak-perspective camera in half heights of a ``HEIGHT`` x ``WIDTH`` image, [B, 3].
        confidence: Logits that each joint's 2-D position is correct, [B, 24].
    """

    rotation: Tensor
    shape: Tensor
    camera: Tensor
    confidence: Tensor

    @property
    def score(self) -> Tensor:
        """Mean probability that a joint is correct, [B] in 0..1."""
        return self.confidence.sigmoid().mean(1)


class MeshRegressor(nn.Module):
    """A small ResNet with iterative error feedback (HMR: Kanazawa et al., CVPR 2018, section 3.2).

    The head starts from the mean body and corrects it ``steps`` times, each time given the current
    estimate; rotations are 6-D (Zhou et al., CVPR 2019). Features are flattened, not pooled,
    because the viewpoint depends on their positions.

    Args:
        width: Number of channels of the first stage.
        hidden: Number of hidden units of the head.
        steps: Number of corrections.
    """

    start: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 32, hidden: int = 512, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            _stage(width, width, 1),
            _stage(width, 2 * width, 2),
            _stage(2 * width, 4 * width, 2),
            _stage(4 * width, 8 * width, 2),
            nn.Conv2d(8 * width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        )
        num_features = 4 * width * (HEIGHT // 32) * (WIDTH // 32)
        num_parameters = _POSE + _SHAPE + _CAMERA
        self.head = nn.Sequential(
            nn.Linear(num_features + num_parameters, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.correction = nn.Linear(hidden, num_parameters)
        nn.init.xavier_uniform_(self.correction.weight, gain=0.01)
        nn.init.zeros_(self.correction.bias)
        self.certainty = nn.Linear(hidden, _JOINTS)
        self.register_buffer("start", torch.zeros(num_parameters))
        self.register_buffer("mean", torch.tensor([0.40, 0.38, 0.37]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.22, 0.21, 0.21]).view(1, 3, 1, 1))

    def set_mean_body(self, rotation: Tensor, shape: Tensor, camera: Tensor) -> None:
        """Set the body that the head starts from.

        Args:
            rotation: Rotation matrices, root first, [24, 3, 3].
            shape: Shape coefficients, [10].
            camera: Weak-perspective camera, [3].
        """
        self.start.copy_(torch.cat([to_6d(rotation).flatten(), shape, camera]))

    def forward(self, images: Tensor) -> BodyEstimate:
        """Estimate the bodies in RGB crops [B, 3, HEIGHT, WIDTH] in 0..1."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = self.trunk(x).flatten(1)
        state = self.start.expand(len(images), -1)
        for _ in range(self.steps):
            hidden = self.head(torch.cat([features, state], 1))
            state = state + self.correction(hidden).float()
        pose, shape, camera = torch.split(state, [_POSE, _SHAPE, _CAMERA], dim=1)
        rotation = from_6d(pose.reshape(-1, 24, 6))
        return BodyEstimate(rotation, shape, camera, self.certainty(hidden).float())


def _stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride > 1:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride, shortcut),
        BasicBlock(out_channels, out_channels),
    )


def to_6d(rotation: Tensor) -> Tensor:
    """Convert rotation matrices [..., 3, 3] to 6-D: their first two columns, [..., 6]."""
    return rotation[..., :2].transpose(-1, -2).flatten(-2)


def from_6d(columns: Tensor) -> Tensor:
    """Convert 6-D [..., 6] to rotation matrices [..., 3, 3] by Gram-Schmidt (Zhou et al., 2019)."""
    first, second = columns[..., :3], columns[..., 3:]
    a = F.normalize(first, dim=-1)
    b = F.normalize(second - (a * second).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=-1)


def project_joints(joints: Tensor, camera: Tensor) -> Tensor:
    """Project joints [B, J, 3], pelvis first, to half heights from the image centre, [B, J, 2]."""
    xy = (joints - joints[:, :1])[..., :2] * joints.new_tensor([1, -1])
    return camera[:, None, :1] * xy + camera[:, None, 1:]


@dataclass(frozen=True)
class BodyTarget:
    """Ground truth of B rendered crops.

    Attributes:
        rotation: Rotation matrices, root first and into camera coordinates, [B, 24, 3, 3].
        shape: Shape coefficients, [B, 10].
        joints: Joints in camera coordinates in metres, [B, 24, 3].
        joints_2d: Projected joints in half heights from the image centre, [B, 24, 2].
        person: Whether the crop shows a whole person, [B].
    """

    rotation: Tensor
    shape: Tensor
    joints: Tensor
    joints_2d: Tensor
    person: Tensor


ROOT_WEIGHT = 4.0
"""Loss weight of the root's rotation, which holds the viewpoint, relative to other joints."""
CORRECT_RADIUS = 0.1
"""Distance in half heights within which a projected joint counts as correct."""


def regressor_losses(
    estimate: BodyEstimate, joints: Tensor, target: BodyTarget
) -> dict[str, Tensor]:
    """Compute unweighted losses; crops without a person contribute to ``confidence`` only.

    Args:
        estimate: Output of the regressor.
        joints: Joints of the estimated bodies in metres, [B, 24, 3].
        target: Ground truth.

    Returns:
        Mean losses ``rotation``, ``joints``, ``joints_2d``, ``shape`` and ``confidence``.
        Source: own.
    """
    person = target.person.float()
    num_people = person.sum().clamp_min(1)
    weight = joints.new_ones(24)
    weight[0] = ROOT_WEIGHT
    rotation = ((estimate.rotation - target.rotation) ** 2).mean((2, 3)) @ weight / 24
    error_3d = (joints - joints[:, :1]) - (target.joints - target.joints[:, :1])
    error_2d = (project_joints(joints, estimate.camera) - target.joints_2d).norm(dim=-1)
    correct = (error_2d.detach() < CORRECT_RADIUS).float() * person[:, None]
    per_image = {
        "rotation": rotation,
        "joints": error_3d.abs().mean((1, 2)),
        "joints_2d": error_2d.mean(1),
        "shape": ((estimate.shape - target.shape) ** 2).mean(1),
    }
    losses = {name: (value * person).sum() / num_people for name, value in per_image.items()}
    losses["confidence"] = F.binary_cross_entropy_with_logits(estimate.confidence, correct)
    return losses

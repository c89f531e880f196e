"""Human mesh recovery: from a crop to pose, shape and camera."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

HEIGHT, WIDTH = 128, 64
"""Of the crops that the regressor sees; others are stretched to it."""
_POSE, _SHAPE, _CAMERA, _JOINTS = 24 * 6, 10, 3, 24


@dataclass(frozen=True)
class Estimate:
    """Bodies in crops.

    Attributes:
        rotation: Rotation matrices, root first and into camera coordinates, [B, 24, 3, 3].
        shape: Coefficients, [B, 10].
        camera: Weak perspective in half heights of a ``HEIGHT`` x ``WIDTH`` image, [B, 3].
        confidence: Logit of each joint lying where it is stated, [B, 24].
    """

    rotation: Tensor
    shape: Tensor
    camera: Tensor
    confidence: Tensor

    @property
    def score(self) -> Tensor:
        """Mean probability that a joint is right, [B] in 0..1."""
        return self.confidence.sigmoid().mean(1)


class MeshRegressor(nn.Module):
    """A small residual network and an iterative head (Kanazawa et al., CVPR 2018, section 3.2).

    The head starts at the mean body and corrects it ``steps`` times, seeing what it has so far;
    rotations are 6-D (Zhou et al., CVPR 2019). Positions matter for the viewpoint, so that features
    are not pooled away but flattened.

    Args:
        width: Channels of the first stage.
        hidden: Width of the head.
        steps: Corrections.
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
        features = 4 * width * (HEIGHT // 32) * (WIDTH // 32)
        stated = _POSE + _SHAPE + _CAMERA
        self.head = nn.Sequential(
            nn.Linear(features + stated, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.correction = nn.Linear(hidden, stated)
        nn.init.xavier_uniform_(self.correction.weight, gain=0.01)
        nn.init.zeros_(self.correction.bias)
        self.certainty = nn.Linear(hidden, _JOINTS)
        self.register_buffer("start", torch.zeros(stated))
        self.register_buffer("mean", torch.tensor([0.40, 0.38, 0.37]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.22, 0.21, 0.21]).view(1, 3, 1, 1))

    def begin_at(self, rotation: Tensor, shape: Tensor, camera: Tensor) -> None:
        """Set the body that corrections start from: rotations [24, 3, 3], [10], [3]."""
        self.start.copy_(torch.cat([to_6d(rotation).flatten(), shape, camera]))

    def forward(self, images: Tensor) -> Estimate:
        """Estimate the bodies in RGB crops in 0..1, [B, 3, HEIGHT, WIDTH]."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features = self.trunk(x).flatten(1)
        state = self.start.expand(len(images), -1)
        for _ in range(self.steps):
            hidden = self.head(torch.cat([features, state], 1))
            state = state + self.correction(hidden).float()
        pose, shape, camera = torch.split(state, [_POSE, _SHAPE, _CAMERA], dim=1)
        rotation = from_6d(pose.reshape(-1, 24, 6))
        return Estimate(rotation, shape, camera, self.certainty(hidden).float())


def _stage(before: int, after: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride > 1:
        shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )
    return nn.Sequential(BasicBlock(before, after, stride, shortcut), BasicBlock(after, after))


def to_6d(rotation: Tensor) -> Tensor:
    """The first two columns of rotation matrices [..., 3, 3], as [..., 6]."""
    return rotation[..., :2].transpose(-1, -2).flatten(-2)


def from_6d(columns: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of two columns [..., 6] by Gram-Schmidt (Zhou et al., 2019)."""
    first, second = columns[..., :3], columns[..., 3:]
    a = F.normalize(first, dim=-1)
    b = F.normalize(second - (a * second).sum(-1, keepdim=True) * a, dim=-1)
    return torch.stack([a, b, torch.linalg.cross(a, b)], dim=-1)


def seen_joints(joints: Tensor, camera: Tensor) -> Tensor:
    """Where joints [B, 24, 3] appear, in half heights about the image's centre, [B, 24, 2]."""
    flat = (joints - joints[:, :1])[..., :2] * joints.new_tensor([1, -1])
    return camera[:, None, :1] * flat + camera[:, None, 1:]


@dataclass(frozen=True)
class Lesson:
    """What a rendered crop is known to show.

    Attributes:
        rotation: [B, 24, 3, 3].
        shape: [B, 10].
        joints: In camera coordinates, [B, 24, 3].
        seen: The same on the image, [B, 24, 2] half heights.
        person: Whether there is a whole person at all, [B].
    """

    rotation: Tensor
    shape: Tensor
    joints: Tensor
    seen: Tensor
    person: Tensor


ROOT_WEIGHT = 4.0
"""Of the root's rotation, which holds the viewpoint, against any other joint's."""
RIGHT = 0.1
"""A joint within a tenth of half the height counts as right."""


def lesson_terms(estimate: Estimate, joints: Tensor, lesson: Lesson) -> dict[str, Tensor]:
    """Unweighted losses of estimates; crops without a person count for ``confidence`` only.

    Args:
        estimate: Of the regressor.
        joints: Of the estimated bodies, [B, 24, 3].
        lesson: The truth.

    Returns:
        ``rotation``, ``joints``, ``seen``, ``shape`` and ``confidence``, each a mean. Source: own.
    """
    there = lesson.person.float()
    people = there.sum().clamp_min(1)
    weight = joints.new_ones(24)
    weight[0] = ROOT_WEIGHT
    rotation = ((estimate.rotation - lesson.rotation) ** 2).mean((2, 3)) @ weight / 24
    away = (joints - joints[:, :1]) - (lesson.joints - lesson.joints[:, :1])
    error = (seen_joints(joints, estimate.camera) - lesson.seen).norm(dim=-1)
    right = (error.detach() < RIGHT).float() * there[:, None]
    per_image = {
        "rotation": rotation,
        "joints": away.abs().mean((1, 2)),
        "seen": error.mean(1),
        "shape": ((estimate.shape - lesson.shape) ** 2).mean(1),
    }
    terms = {name: (value * there).sum() / people for name, value in per_image.items()}
    terms["confidence"] = F.binary_cross_entropy_with_logits(estimate.confidence, right)
    return terms

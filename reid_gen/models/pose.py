"""What GenPoCCL adds to the identity encoder while it learns poses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PoseHead(nn.Module):
    """The second neck: from what the encoder says of a pose to a unit feature.

    An MLP with batch norm between its three layers (StableRep, section 4).

    Args:
        channels: C, of its input.
        hidden: Width of the hidden layers.
        size: Length of the feature.
    """

    def __init__(self, channels: int, hidden: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, size),
        )

    def forward(self, pose: Tensor) -> Tensor:
        """Unit features [B, size] in float32 of [B, C]."""
        return F.normalize(self.layers(pose).float(), dim=1)


class PatchReconstructionHead(nn.Module):
    """Draws the patch of the image that lies under each place of the encoder's map, by one layer.

    Reconstruction of masked patches as in SimMIM (Xie et al., CVPR 2022), which asks for a map and
    nothing else; the paper's masked autoencoder (HAP) is for transformers alone.

    Args:
        channels: C, of the map.
        patch: Rows and columns of a patch.
    """

    def __init__(self, channels: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.layer = nn.Conv2d(channels, 3 * patch[0] * patch[1], 1)

    def forward(self, found: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] from maps [B, C, h, w]."""
        drawn = self.layer(found)
        count, _, rows, columns = drawn.shape
        tall, wide = self.patch
        cells = drawn.view(count, 3, tall, wide, rows, columns).permute(0, 1, 4, 2, 5, 3)
        pictures: Tensor = cells.reshape(count, 3, rows * tall, columns * wide)
        return pictures


class PoseHeads(nn.Module):
    """All that is trained beside the encoder.

    Args:
        head: Of poses.
        painter: Of masked patches.
    """

    def __init__(self, head: PoseHead, painter: PatchReconstructionHead) -> None:
        super().__init__()
        self.head = head
        self.painter = painter


def random_patch_masks(count: int, grid: tuple[int, int], share: float) -> Tensor:
    """Which places of a grid are hidden, [B, h, w] bool: the same number in every image."""
    rows, columns = grid
    hidden = round(share * rows * columns)
    order = torch.rand(count, rows * columns).argsort(dim=1)
    return (order < hidden).view(count, rows, columns)


def upsample_masks(masks: Tensor, height: int, width: int) -> Tensor:
    """The same masks for pixels, [B, h, w] -> [B, 1, H, W] float."""
    return F.interpolate(masks.unsqueeze(1).float(), (height, width), mode="nearest")

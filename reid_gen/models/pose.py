"""GenPoCCL's heads on the identity encoder: pose features and reconstruction of masked patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PoseHead(nn.Module):
    """Projection head of poses: maps the encoder's pose output to L2-normalised features.

    A three-layer MLP with batch norm (StableRep, section 4).

    Args:
        channels: Input dimension C.
        hidden: Width of the hidden layers.
        size: Dimension of the pose feature.
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
        """Map pose outputs [B, C] of the encoder to L2-normalised features [B, size], float32."""
        return F.normalize(self.layers(pose).float(), dim=1)


class PatchReconstructionHead(nn.Module):
    """Predicts the pixels of the patch under each position of the encoder's map with one layer.

    Masked image modelling as in SimMIM (Xie et al., CVPR 2022), which works with any encoder that
    returns a feature map; the paper's masked autoencoder (HAP) needs a transformer.

    Args:
        channels: Number of channels C of the feature map.
        patch: Height and width of a patch in pixels.
    """

    def __init__(self, channels: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.layer = nn.Conv2d(channels, 3 * patch[0] * patch[1], 1)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Predict images [B, 3, H, W] from feature maps [B, C, h, w]."""
        pixels = self.layer(feature_map)  # [B, 3 * patch height * patch width, h, w]
        count, _, rows, columns = pixels.shape
        height, width = self.patch
        patches = pixels.view(count, 3, height, width, rows, columns).permute(0, 1, 4, 2, 5, 3)
        images: Tensor = patches.reshape(count, 3, rows * height, columns * width)
        return images


class PoseHeads(nn.Module):
    """The heads that pose pretraining trains together with the encoder.

    Args:
        head: Projection head of poses.
        painter: Reconstruction head of masked patches.
    """

    def __init__(self, head: PoseHead, painter: PatchReconstructionHead) -> None:
        super().__init__()
        self.head = head
        self.painter = painter


def random_patch_masks(count: int, grid: tuple[int, int], share: float) -> Tensor:
    """Sample masks of hidden patches, [B, h, w] bool, with the same number in every image.

    Args:
        count: Number of images B.
        grid: Patches per column and row, h and w.
        share: Share of the patches to hide, 0..1.
    """
    rows, columns = grid
    hidden = round(share * rows * columns)
    order = torch.rand(count, rows * columns).argsort(dim=1)
    return (order < hidden).view(count, rows, columns)


def upsample_masks(masks: Tensor, height: int, width: int) -> Tensor:
    """Upsample patch masks [B, h, w] to pixel masks [B, 1, H, W] float."""
    return F.interpolate(masks.unsqueeze(1).float(), (height, width), mode="nearest")

"""One step of pose pre-training (GenPoCCL)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.generators.protocol import Terms
from reid_gen.losses.contrast import multi_positive_nce
from reid_gen.losses.groups import GroupedFeatures, group_nce
from reid_gen.losses.reconstruction import weighted_absolute
from reid_gen.models.encoder import EncoderOutput, IdentityEncoder
from reid_gen.models.pose import PoseHeads, random_patch_masks, upsample_masks
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.transfer import move
from reid_gen.training.step import TrainableNetwork, descend

POSE = "pose"


@dataclass(frozen=True)
class PoseBatch:
    """Images of groups that share a pose.

    Attributes:
        views: One or two random augmentations of the images, in 0..1, [B, 3, H, W] each.
        group: Group of each image, [B]; images of a group show the same pose.
        image: Number of each image, [B].
    """

    views: Sequence[Tensor]
    group: Tensor
    image: Tensor


@dataclass(frozen=True)
class _MaskedView:
    """One view: its pixels, its features under the mask, and its reconstruction."""

    images: Tensor
    encoded: EncoderOutput
    masks: Tensor
    reconstruction: Tensor | None


@dataclass
class PoseStep:
    """``L = L_rec + g_1 L_align + g_2 L_mp`` (GenPoCCL, section 3).

    Attributes:
        encoder: Identity encoder, trained.
        heads: Pose head and patch decoder, trained with it.
        trainable: Encoder and heads with their optimisers.
        weights: Weights of ``pose`` (L_mp), ``align`` (L_align) and ``rebuild`` (L_rec).
        temperature: Temperature of L_mp.
        align_temperature: Temperature of L_align.
        mask: Share of patches that are masked if L_rec has a weight.
        runtime: Device and precision.
    """

    encoder: IdentityEncoder
    heads: PoseHeads
    trainable: Sequence[TrainableNetwork]
    weights: Mapping[str, float]
    temperature: float
    align_temperature: float
    mask: float
    runtime: Runtime

    def __call__(self, batch: PoseBatch) -> Terms:
        """Take a step; returns every loss term, on the device."""
        with self.runtime.autocast():
            views = [self._encode_masked(images) for images in batch.views]
            poses = torch.cat([self.heads.head(view.encoded.pose) for view in views])
        losses: dict[str, Callable[[], Tensor]] = {
            "pose": lambda: self._pose_loss(poses, batch, len(views)),
            "align": lambda: self._align_loss([view.encoded.feature for view in views]),
            "rebuild": lambda: torch.stack([_reconstruction_loss(view) for view in views]).mean(),
        }
        terms = {name: loss() for name, loss in losses.items() if self.weights[name] > 0}
        descend(terms, self.weights, self.trainable, self.runtime)
        return {name: value.detach() for name, value in terms.items()}

    def _encode_masked(self, images: Tensor) -> _MaskedView:
        """Encode images [B, 3, H, W] with random patches masked if they are reconstructed."""
        height, width = images.shape[2:]
        patch_height, patch_width = self.heads.painter.patch
        share = self.mask if self.weights["rebuild"] > 0 else 0.0
        grid = height // patch_height, width // patch_width
        masks = upsample_masks(
            move(random_patch_masks(len(images), grid, share), images.device), height, width
        )
        masked = torch.lerp(images, self.encoder.mean, masks)
        maps, tokens = self.encoder.forward_features(masked)
        reconstruction = self.heads.painter(maps) if share > 0 else None
        return _MaskedView(images, self.encoder.forward_head(maps, tokens), masks, reconstruction)

    def _pose_loss(self, poses: Tensor, batch: PoseBatch, views: int) -> Tensor:
        """L_mp over all processes; views of one image are no positives of each other."""
        anchors = GroupedFeatures(poses, batch.group.repeat(views), batch.image.repeat(views))
        gather = self.runtime.gather
        candidates = GroupedFeatures(
            self.runtime.all_gather_with_grad(poses), gather(anchors.group), gather(anchors.image)
        )
        return group_nce(anchors, candidates, temperature=self.temperature)

    def _align_loss(self, features: Sequence[Tensor]) -> Tensor:
        """L_align: symmetric InfoNCE between two views of each image (HAP, eq. 4)."""
        first, second = (self.runtime.all_gather_with_grad(feature) for feature in features)
        positive = torch.eye(len(first), dtype=torch.bool, device=first.device)
        directions = [
            multi_positive_nce(similarity, positive, temperature=self.align_temperature)
            for similarity in (first @ second.T, second @ first.T)
        ]
        return 2 * self.align_temperature * torch.stack(directions).sum()


def _reconstruction_loss(view: _MaskedView) -> Tensor:
    assert view.reconstruction is not None
    return weighted_absolute(view.reconstruction, view.images, view.masks)

"""One step of pre-training on poses (GenPoCCL)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.losses.contrast import multi_positive_nce
from reid_gen.losses.groups import Members, group_nce
from reid_gen.losses.reconstruction import weighted_absolute
from reid_gen.models.encoder import Encoded, IdentityEncoder
from reid_gen.models.pose import PoseHeads, draw_masks, over_pixels
from reid_gen.runtime.devices import Runtime
from reid_gen.training.step import TrainableNetwork, descend
from reid_gen.types import Scalars

POSE = "pose"


@dataclass(frozen=True)
class PoseBatch:
    """Pictures in groups, each changed at random once or twice.

    Attributes:
        views: In 0..1, [B, 3, H, W] each.
        group: Pictures with the same number show the same pose, [B].
        image: Numbers of the pictures, [B].
    """

    views: Sequence[Tensor]
    group: Tensor
    image: Tensor


@dataclass(frozen=True)
class _Seen:
    """One view as it was and as it was drawn and encoded."""

    images: Tensor
    encoded: Encoded
    masks: Tensor
    drawn: Tensor | None


@dataclass
class PoseStep:
    """``L = L_rec + g_1 L_align + g_2 L_mp`` (GenPoCCL, section 3).

    Attributes:
        encoder: Learns.
        heads: Learn with it.
        trainable: Both, with their optimisers.
        weights: Of ``pose`` (L_mp), ``align`` and ``rebuild`` (L_rec).
        temperature: Of L_mp.
        align_temperature: Of L_align.
        mask: Share of patches that are hidden if anything is rebuilt.
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

    def __call__(self, batch: PoseBatch) -> Scalars:
        """Take a step."""
        with self.runtime.autocast():
            seen = [self._look(images) for images in batch.views]
            poses = torch.cat([self.heads.head(one.encoded.pose) for one in seen])
        every: dict[str, Callable[[], Tensor]] = {
            "pose": lambda: self._same_pose(poses, batch, len(seen)),
            "align": lambda: self._same_image([one.encoded.feature for one in seen]),
            "rebuild": lambda: torch.stack([_hidden_error(one) for one in seen]).mean(),
        }
        terms = {name: term() for name, term in every.items() if self.weights[name] > 0}
        descend(terms, self.weights, self.trainable, self.runtime)
        return {name: float(value.detach()) for name, value in terms.items()}

    def _look(self, images: Tensor) -> _Seen:
        """Encode pictures, of which patches are hidden if they are to be rebuilt."""
        height, width = images.shape[2:]
        tall, wide = self.heads.painter.patch
        share = self.mask if self.weights["rebuild"] > 0 else 0.0
        masks = draw_masks(len(images), (height // tall, width // wide), share).to(images.device)
        masks = over_pixels(masks, height, width)
        found, tokens = self.encoder.forward_features(torch.lerp(images, self.encoder.mean, masks))
        drawn = self.heads.painter(found) if share > 0 else None
        return _Seen(images, self.encoder.forward_head(found, tokens), masks, drawn)

    def _same_pose(self, poses: Tensor, batch: PoseBatch, views: int) -> Tensor:
        """L_mp over all processes; views of one picture are no positives of each other."""
        own = Members(poses, batch.group.repeat(views), batch.image.repeat(views))
        gather = self.runtime.gather
        every = Members(
            self.runtime.all_gather_with_grad(poses), gather(own.group), gather(own.image)
        )
        return group_nce(own, every, temperature=self.temperature)

    def _same_image(self, features: Sequence[Tensor]) -> Tensor:
        """L_align: InfoNCE of two views of a picture, both ways (HAP, eq. 4)."""
        one, other = (self.runtime.all_gather_with_grad(some) for some in features)
        itself = torch.eye(len(one), dtype=torch.bool, device=one.device)
        both = [
            multi_positive_nce(similarity, itself, temperature=self.align_temperature)
            for similarity in (one @ other.T, other @ one.T)
        ]
        return 2 * self.align_temperature * torch.stack(both).sum()


def _hidden_error(seen: _Seen) -> Tensor:
    assert seen.drawn is not None
    return weighted_absolute(seen.drawn, seen.images, seen.masks)

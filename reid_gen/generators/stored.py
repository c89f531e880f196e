"""Views that were generated before training and are read from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.images import decode
from reid_gen.data.loaders import ConditionInputs
from reid_gen.data.positive_groups import SAME_IDENTITY, Groups, Member
from reid_gen.errors import UserError
from reid_gen.files import as_json
from reid_gen.generators.protocol import EncodeFn, Terms, ViewInputs, ViewOutput, Views
from reid_gen.models.encoder import EncoderOutput
from reid_gen.runtime.transfer import to_device, to_unit_range
from reid_gen.types import Float32Array, Image, Uint8Array

SCORES = ("identity", "structure", "difference")


@dataclass(frozen=True)
class ViewFilter:
    """Minimum scores of the views that are used, and how views are weighted.

    Attributes:
        identity: Minimum identity score.
        structure: Minimum overlap with the requested body; views without this score pass.
        difference: Minimum difference from the source image and from its other views.
        weight_by_identity: Whether the identity score is the sample weight of a view.
    """

    identity: float = -1.0
    structure: float = 0.0
    difference: float = 0.0
    weight_by_identity: bool = False

    def failed_score(self, member: Member) -> str | None:
        """Return the name of the first score below its minimum; None if the view passes."""
        for name in SCORES:
            score = getattr(member, name)
            if score is not None and score < getattr(self, name):
                return name
        return None

    def sample_weight(self, member: Member) -> float:
        """Return the sample weight of a view, in 0..1."""
        if not self.weight_by_identity or member.identity is None:
            return 1.0
        return min(1.0, max(0.0, member.identity))


class StoredViews:
    """Samples views from each image's group of stored positives.

    Args:
        groups: Stored positives of the training images.
        height: Image height in pixels.
        width: Image width in pixels.
        members: Views per image and step; images with fewer views get none.
        most: Maximum number of source images per batch.
        view_filter: Minimum scores and weighting of the views.

    Raises:
        UserError: If group members do not share an identity, or no image has enough views left.

    Attributes:
        counts: Number of views that passed (``kept``), and that failed each score.
    """

    def __init__(
        self,
        groups: Groups,
        height: int,
        width: int,
        members: int,
        most: int,
        view_filter: ViewFilter,
    ) -> None:
        if groups.header["kind"] != SAME_IDENTITY:
            raise UserError(
                f"{groups.folder} holds groups of kind {groups.header['kind']}, whose members are "
                f"different people; views must be of kind {SAME_IDENTITY}"
            )
        self.networks: nn.Module = nn.Module()
        self.discriminator: nn.Module = nn.Module()
        self.height, self.width = height, width
        self.members = members
        self.most = most
        self.folder = groups.folder
        self.view_filter = view_filter
        self.counts = dict.fromkeys(("kept", *SCORES), 0)
        self.members_of: dict[str, list[Member]] = {}
        for member in groups.members:
            failed = view_filter.failed_score(member)
            self.counts[failed or "kept"] += 1
            if failed is None:
                self.members_of.setdefault(member.source, []).append(member)
        if not any(len(group) >= members for group in self.members_of.values()):
            raise UserError(
                f"{groups.folder} has no image with {members} view(s) above the minimum scores "
                f"({self.counts}); lower generator.min_identity, min_structure, "
                "min_difference or members"
            )

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Mark the images that have enough views, [N]."""
        counts = [len(self.members_of.get(image.key, ())) for image in images]
        return np.array([count >= self.members for count in counts])

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Read random members of the groups of random images of the batch."""
        batch_index = rng.permutation(np.flatnonzero(self.usable(images)))[: self.most]
        chosen = [self._choose(images[position].key, rng) for position in batch_index]
        conditions: dict[str, Float32Array] = {}
        for number, members in enumerate(zip(*chosen, strict=True)):
            views = np.stack([self._read(member) for member in members]).astype(np.float32)
            conditions[_view_name(number)] = views / np.float32(255)
        sample_weight = None
        if self.view_filter.weight_by_identity:
            sample_weight = np.array(
                [[self.view_filter.sample_weight(view) for view in group] for group in chosen],
                np.float32,
            )
        return ConditionInputs(batch_index, conditions, sample_weight)

    def _choose(self, key: str, rng: np.random.Generator) -> list[Member]:
        members = self.members_of[key]
        return [members[n] for n in rng.permutation(len(members))[: self.members]]

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        requires_grad: bool,
        output: ViewOutput,
    ) -> Views:
        """Return the views that the loader read."""
        images = torch.stack(
            [sources.conditions[_view_name(n)] for n in range(self.members)], dim=1
        )
        view_encoded = encode(images.flatten(0, 1))[0] if output is ViewOutput.FEATURES else None
        weight = sources.sample_weight
        return Views(images, view_encoded, None if weight is None else weight.flatten())

    def preview(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """Show stored views of each image: as many as the smallest group has."""
        groups = [self.members_of[key] for key in keys]
        columns = min(len(members) for members in groups)
        pixels = np.stack([[self._read(view) for view in members[:columns]] for members in groups])
        return to_unit_range(to_device(pixels, images.device).permute(0, 1, 4, 2, 3))

    def save(self, folder: Path) -> None:
        """Write the number of views that passed and that failed each score to ``views.json``."""
        (folder / "views.json").write_text(as_json(self.counts, None) + "\n", encoding="utf-8")

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """Return no terms: there is no discriminator."""
        return {}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """Return no terms: stored views are not trained."""
        return {}

    def _read(self, member: Member) -> Uint8Array:
        return decode(self.folder / member.file, self.height, self.width)


def _view_name(number: int) -> str:
    """Name of the n-th view of every source image among the condition inputs."""
    return f"view_{number}"

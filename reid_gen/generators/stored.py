"""Views that were made before and lie on disk: nothing to train, whatever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.images import decode
from reid_gen.data.positive_groups import SAME_IDENTITY, Groups, Member
from reid_gen.data.sidecar import ConditionInputs
from reid_gen.errors import UserError
from reid_gen.files import as_json
from reid_gen.generators.protocol import EncodeFn, Terms, ViewInputs, ViewOutput, Views
from reid_gen.models.encoder import EncoderOutput
from reid_gen.types import Float32Array, Image, Uint8Array

VIEW, SAMPLE_WEIGHT = "view_", "worth_"
"""Names of what is brought, with a number."""


@dataclass(frozen=True)
class ViewFilter:
    """Which views are good enough, and how much they count.

    Attributes:
        identity: Least identity score.
        structure: Least overlap with the body that was asked for; views without a body pass.
        difference: Least difference from the image and from other views.
        weight_by_identity: Whether a view counts as much as its identity score says.
    """

    identity: float = -1.0
    structure: float = 0.0
    difference: float = 0.0
    weight_by_identity: bool = False

    def refuses(self, member: Member) -> str | None:
        """The score that is too low; None if the view is good enough."""
        for name in ("identity", "structure", "difference"):
            score = getattr(member, name)
            if score is not None and score < getattr(self, name):
                return name
        return None

    def sample_weight(self, member: Member) -> float:
        """How much a view counts, 0..1."""
        if not self.weight_by_identity or member.identity is None:
            return 1.0
        return min(1.0, max(0.0, member.identity))


class StoredViews:
    """Draws members of each image's group.

    Args:
        groups: PositiveBatch from the training images.
        height: Of images.
        width: Of images.
        members: Views per image in a step; images with fewer get none.
        most: Images of a batch that get views.
        view_filter: Which views are left out.

    Raises:
        UserError: If the groups share something else than a person, or no view is left.

    Attributes:
        counts: Views that are kept, and those left out by each score.
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
        if groups.about["kind"] != SAME_IDENTITY:
            raise UserError(
                f"{groups.folder} holds groups of kind {groups.about['kind']}, whose members are "
                f"different people; views must be of kind {SAME_IDENTITY}"
            )
        self.networks: nn.Module = nn.Module()
        self.discriminator: nn.Module = nn.Module()
        self.height, self.width = height, width
        self.members = members
        self.most = most
        self.folder = groups.folder
        self.view_filter = view_filter
        self.counts = dict.fromkeys(("kept", "identity", "structure", "difference"), 0)
        self.kept: dict[str, list[Member]] = {}
        for member in groups.members:
            refused = view_filter.refuses(member)
            self.counts[refused or "kept"] += 1
            if refused is None:
                self.kept.setdefault(member.source, []).append(member)
        if not any(len(some) >= members for some in self.kept.values()):
            raise UserError(
                f"{groups.folder} has no image with {members} view(s) that are good enough "
                f"({self.counts}); lower generator.min_identity, min_structure, "
                "min_difference or members"
            )

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images have enough views, [N]."""
        return np.array([len(self.kept.get(i.key, ())) >= self.members for i in images])

    def make_conditions(
        self, images: Sequence[Image], pixels: Uint8Array, rng: np.random.Generator
    ) -> ConditionInputs:
        """Random members of the groups of some images."""
        batch_index = rng.permutation(np.flatnonzero(self.usable(images)))[: self.most]
        chosen = [self._choose(images[place].key, rng) for place in batch_index]
        conditions: dict[str, Float32Array] = {}
        for number, members in enumerate(zip(*chosen, strict=True)):
            views = np.stack([self._read(member) for member in members]).astype(np.float32)
            conditions[f"{VIEW}{number}"] = views / np.float32(255)
            sample_weight = np.array(
                [self.view_filter.sample_weight(member) for member in members], np.float32
            )
            conditions[f"{SAMPLE_WEIGHT}{number}"] = sample_weight[:, None, None, None]
        return ConditionInputs(batch_index, conditions)

    def _choose(self, key: str, rng: np.random.Generator) -> list[Member]:
        members = self.kept[key]
        return [members[n] for n in rng.permutation(len(members))[: self.members]]

    def views(
        self,
        sources: ViewInputs,
        encoded: EncoderOutput,
        encode: EncodeFn,
        learning: bool,
        wanted: ViewOutput,
    ) -> Views:
        """The pictures that were brought."""
        numbers = range(self.members)
        images = torch.stack([sources.conditions[f"{VIEW}{n}"] for n in numbers], dim=1)
        sample_weight = torch.stack(
            [sources.conditions[f"{SAMPLE_WEIGHT}{n}"].flatten() for n in numbers], dim=1
        )
        of_views = encode(images.flatten(0, 1))[0] if wanted is ViewOutput.FEATURES else None
        return Views(
            images,
            of_views,
            sample_weight.flatten() if self.view_filter.weight_by_identity else None,
        )

    def show(self, images: Tensor, keys: Sequence[str], encode: EncodeFn) -> Tensor:
        """All members of the smallest group, of each image as many."""
        rows = [self.kept[key] for key in keys]
        columns = min(len(members) for members in rows)
        pixels = np.stack([[self._read(one) for one in members[:columns]] for members in rows])
        return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).float().to(images.device) / 255

    def save(self, folder: Path) -> None:
        """How many views were kept, and how many left out for what, as ``views.json``."""
        (folder / "views.json").write_text(as_json(self.counts, None) + "\n", encoding="utf-8")

    def discriminator_terms(self, sources: ViewInputs, views: Views, step: int) -> Terms:
        """None: there is no discriminator."""
        return {}

    def generator_terms(self, sources: ViewInputs, views: Views, encoded: EncoderOutput) -> Terms:
        """None: nothing learns to draw."""
        return {}

    def _read(self, member: Member) -> Uint8Array:
        return decode(self.folder / member.file, self.height, self.width)

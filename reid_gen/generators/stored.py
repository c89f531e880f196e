"""Views that were made before and lie on disk: nothing to train, whatever made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid_gen.data.groups import Groups
from reid_gen.data.images import decode
from reid_gen.data.sidecar import Brought
from reid_gen.errors import UserError
from reid_gen.generators.protocol import Encode, Sources, Terms, Views
from reid_gen.models.encoder import Encoded
from reid_gen.types import Floats, Image, Pixels


class StoredViews:
    """Draws members of each image's group.

    Args:
        groups: Made from the training images.
        height: Of images.
        width: Of images.
        members: Views per image in a step; images with fewer get none.
        most: Images of a batch that get views.
        least_identity: Views whose identity score is lower are left out.

    Raises:
        UserError: If no view is left.
    """

    def __init__(
        self,
        groups: Groups,
        height: int,
        width: int,
        members: int,
        most: int,
        least_identity: float,
    ) -> None:
        self.networks: nn.Module = nn.Module()
        self.discriminator: nn.Module = nn.Module()
        self.height, self.width = height, width
        self.members = members
        self.most = most
        kept = [member for member in groups.members if member.identity >= least_identity]
        self.files: dict[str, list[Path]] = {}
        for member in kept:
            self.files.setdefault(member.source, []).append(groups.folder / member.file)
        if not any(len(files) >= members for files in self.files.values()):
            raise UserError(
                f"{groups.folder} has no image with {members} view(s) of identity score "
                f"{least_identity} or more; lower generator.least_identity or generator.members"
            )

    def usable(self, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images have enough views, [N]."""
        return np.array([len(self.files.get(i.key, ())) >= self.members for i in images])

    def bring(self, images: Sequence[Image], rng: np.random.Generator) -> Brought:
        """Random members of the groups of some images."""
        places = rng.permutation(np.flatnonzero(self.usable(images)))[: self.most]
        chosen = [self._choose(images[place].key, rng) for place in places]
        pictures: dict[str, Floats] = {}
        for number, files in enumerate(zip(*chosen, strict=True)):
            pixels = np.stack([self._read(file) for file in files]).astype(np.float32)
            pictures[f"view_{number}"] = pixels / np.float32(255)
        return Brought(places, pictures)

    def _choose(self, key: str, rng: np.random.Generator) -> list[Path]:
        files = self.files[key]
        return [files[n] for n in rng.permutation(len(files))[: self.members]]

    def views(self, sources: Sources, encoded: Encoded, encode: Encode, learning: bool) -> Views:
        """The pictures that were brought."""
        images = torch.stack(list(sources.pictures.values()), dim=1)
        (of_views,) = encode(images.flatten(0, 1))
        return Views(images, of_views)

    def show(self, images: Tensor, keys: Sequence[str], encode: Encode) -> Tensor:
        """All members of the smallest group, of each image as many."""
        rows = [self.files[key] for key in keys]
        columns = min(len(files) for files in rows)
        pixels = np.stack([[self._read(file) for file in files[:columns]] for files in rows])
        return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).float().to(images.device) / 255

    def save(self, folder: Path) -> None:
        """Nothing: the groups lie on disk already."""

    def discriminator_terms(self, sources: Sources, views: Views, step: int) -> Terms:
        """None: there is no discriminator."""
        return {}

    def generator_terms(self, sources: Sources, views: Views, encoded: Encoded) -> Terms:
        """None: nothing learns to draw."""
        return {}

    def _read(self, file: Path) -> Pixels:
        return decode(file, self.height, self.width)

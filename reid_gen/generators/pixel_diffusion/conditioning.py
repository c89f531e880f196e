"""What a picture of a person is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.models.encoder import EncoderOutput


@dataclass(frozen=True)
class Looks:
    """Bodies and people.

    Attributes:
        maps: Body maps in -1..1, [B, C, H, W].
        parts: Part features, [B, C', stripes].
        feature: Re-ID features, [B, D].
    """

    maps: Tensor
    parts: Tensor
    feature: Tensor

    def without(self, body: Tensor | bool, person: Tensor | bool) -> Looks:
        """Zeros in place of the map or the person, of all (bool) or some images ([B] bool)."""
        keep_body, keep_person = (
            1 - torch.as_tensor(drop, device=self.maps.device).float().view(-1, 1, 1, 1)
            for drop in (body, person)
        )
        return Looks(
            self.maps * keep_body,
            self.parts * keep_person[:, 0],
            self.feature * keep_person[:, 0, 0],
        )

    def beside(self, others: Looks) -> Looks:
        """These and others in one batch."""
        return Looks(
            torch.cat([self.maps, others.maps]),
            torch.cat([self.parts, others.parts]),
            torch.cat([self.feature, others.feature]),
        )


def looks_of(encoded: EncoderOutput, maps: Tensor) -> Looks:
    """Looks of V maps for each of B people: [B, V, C, H, W] -> B V pictures."""
    views = maps.shape[1]
    return Looks(
        maps.flatten(0, 1),
        encoded.parts.float().repeat_interleave(views, 0),
        encoded.feature.float().repeat_interleave(views, 0),
    )

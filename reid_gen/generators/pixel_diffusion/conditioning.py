"""Conditioning of the diffusion model: body maps and identity features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reid_gen.models.encoder import EncoderOutput


@dataclass(frozen=True)
class Conditioning:
    """Body maps and identity features of B images.

    Attributes:
        maps: Body maps in -1..1, [B, C, H, W].
        parts: Part features, [B, C', stripes].
        feature: Re-ID features, [B, D].
    """

    maps: Tensor
    parts: Tensor
    feature: Tensor

    def drop(self, body: Tensor | bool, person: Tensor | bool) -> Conditioning:
        """Replace body maps or identity features by zeros.

        Args:
            body: Whether to drop the body map, of all images (bool) or of each, [B] bool.
            person: Whether to drop the identity features, of all images (bool) or of each, [B]
                bool.
        """
        keep_body, keep_person = (  # [B, 1, 1, 1] or [1, 1, 1, 1]
            1 - torch.as_tensor(drop, device=self.maps.device).float().view(-1, 1, 1, 1)
            for drop in (body, person)
        )
        return Conditioning(
            self.maps * keep_body,
            self.parts * keep_person[:, 0],
            self.feature * keep_person[:, 0, 0],
        )

    def concatenate(self, other: Conditioning) -> Conditioning:
        """Concatenate with another conditioning along the batch."""
        return Conditioning(
            torch.cat([self.maps, other.maps]),
            torch.cat([self.parts, other.parts]),
            torch.cat([self.feature, other.feature]),
        )


def expand_to_views(encoded: EncoderOutput, maps: Tensor) -> Conditioning:
    """Condition V body maps of each of B people, [B, V, C, H, W], in one batch of B * V images."""
    views = maps.shape[1]
    return Conditioning(
        maps.flatten(0, 1),
        encoded.parts.float().repeat_interleave(views, 0),
        encoded.feature.float().repeat_interleave(views, 0),
    )

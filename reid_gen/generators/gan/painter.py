"""What draws: structure encoder and decoder."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reid_gen.models.decoder import Decoder, initialise_generator
from reid_gen.models.encoder import Encoded
from reid_gen.models.structure import StructureEncoder

Stripes = Literal["body", "interleaved"]


class MeshPainter(nn.Module):
    """Draws a person with given part features on a given body map.

    Args:
        structure: E_str.
        decoder: G.
        mean: Of the identity encoder's input colours, [1, 3, 1, 1]; the decoder draws in colours
            normalised so.
        std: Likewise.
        stripes: ``body`` gives the decoder's block j the j-th stripe of the body; ``interleaved``
            what GCL's release gives: the j-th quarter of the channels, in all stripes.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        structure: StructureEncoder,
        decoder: Decoder,
        mean: Tensor,
        std: Tensor,
        stripes: Stripes = "body",
    ) -> None:
        super().__init__()
        self.structure = structure
        self.decoder = decoder
        self.stripes = stripes
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.register_buffer("std", std.clone(), persistent=False)
        for network in (structure, decoder):
            initialise_generator(network)

    def draw(self, structure: Tensor, parts: Tensor) -> Tensor:
        """Draw structure [B, C, h, w] with part features [B, C', 4], to images about 0..1."""
        if self.stripes == "body":
            per_block = parts.transpose(1, 2)
        else:
            per_block = parts.reshape(len(parts), parts.shape[2], parts.shape[1])
        picture: Tensor = self.decoder(structure, per_block)
        return picture.float() * self.std + self.mean

    @torch.no_grad()
    def turned(self, encoded: Encoded, maps: Tensor) -> Tensor:
        """Draw B people on V maps each, [B, V, C, H, W]; constants [B, V, 3, H, W], about 0..1."""
        parts = encoded.parts.repeat_interleave(maps.shape[1], 0)
        drawn = self.draw(self.structure(maps.flatten(0, 1)), parts)
        return drawn.view(*maps.shape[:2], *drawn.shape[1:])

    def normalised(self, images: Tensor) -> Tensor:
        """Images about 0..1 as the decoder draws and the discriminator sees them."""
        return (images - self.mean) / self.std

"""What draws: structure encoder and decoder."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.generators.gan.decoder import Decoder, initialise_generator
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.models.encoder import EncoderOutput

Stripes = Literal["body", "interleaved"]
SIDE = 4
"""Pixels of an image along one of its structure."""


class MeshPainter(nn.Module):
    """Draws a person with given part features on a given body map.

    Args:
        structure: E_str.
        decoder: G.
        mean: Of the identity encoder's input colours, [1, 3, 1, 1]; the decoder draws in colours
            normalised so.
        std: Likewise.
        painted: Whether maps bear colours and a silhouette (``structure.PAINTED``), which what is
            drawn then begins with.
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
        painted: bool = False,
        stripes: Stripes = "body",
    ) -> None:
        super().__init__()
        self.structure = structure
        self.decoder = decoder
        self.painted = painted
        self.stripes = stripes
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.register_buffer("std", std.clone(), persistent=False)
        for network in (structure, decoder):
            initialise_generator(network)

    def sketch(self, maps: Tensor) -> Tensor:
        """What is drawn on: the structure of maps [B, C, H, W], and their colours if they bear any.

        Colours lie beside the structure, a block of pixels in the channels of each place:
        [B, C' (+ 48), H / 4, W / 4].
        """
        structure: Tensor = self.structure(maps)
        if not self.painted:
            return structure
        colours = self.normalised((maps[:, :3] + 1) / 2) * (maps[:, 3:] > 0)
        return torch.cat([structure, F.pixel_unshuffle(colours, SIDE).to(structure.dtype)], dim=1)

    def draw(self, sketch: Tensor, parts: Tensor) -> Tensor:
        """Draw on sketches [B, C, h, w] with part features [B, C', 4], to images about 0..1."""
        structure, colours = sketch, None
        if self.painted:
            structure, blocks = sketch.tensor_split([sketch.shape[1] - 3 * SIDE**2], dim=1)
            colours = F.pixel_shuffle(blocks, SIDE)
        if self.stripes == "body":
            per_block = parts.transpose(1, 2)
        else:
            per_block = parts.reshape(len(parts), parts.shape[2], parts.shape[1])
        picture: Tensor = self.decoder(structure, per_block)
        if colours is not None:
            picture = picture + colours
        return picture.float() * self.std + self.mean

    @torch.no_grad()
    def turned(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Draw B people on V maps each, [B, V, C, H, W]; constants [B, V, 3, H, W], about 0..1."""
        parts = encoded.parts.repeat_interleave(maps.shape[1], 0)
        drawn = self.draw(self.sketch(maps.flatten(0, 1)), parts)
        return drawn.view(*maps.shape[:2], *drawn.shape[1:])

    def normalised(self, images: Tensor) -> Tensor:
        """Images about 0..1 as the decoder draws and the discriminator sees them."""
        return (images - self.mean) / self.std

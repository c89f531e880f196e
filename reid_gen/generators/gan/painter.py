"""The painter of the GAN: structure encoder and decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.choices import Stripes
from reid_gen.generators.gan.decoder import Decoder, initialise_generator
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.models.encoder import EncoderOutput

STRIDE = 4
"""Stride of the structure features in pixels."""


class MeshPainter(nn.Module):
    """Generates images of people from part features and body maps.

    Args:
        structure: Structure encoder E_str.
        decoder: Decoder G.
        mean: Mean of the identity encoder's input, [1, 3, 1, 1]; the decoder's output is
            normalised in the same way.
        std: Standard deviation of the identity encoder's input, [1, 3, 1, 1].
        painted: Whether body maps hold colours and a silhouette (``map_kinds.PAINTED``), to which
            the decoder's output is added.
        stripes: Part features of decoder block j: ``body`` takes the j-th stripe of the body,
            ``interleaved`` the j-th quarter of the channels of all stripes, as GCL's release does.
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

    def encode_maps(self, maps: Tensor) -> Tensor:
        """Encode body maps [B, C, H, W] to structure features, [B, C' (+ 48), H / 4, W / 4].

        The last 48 channels are there for painted maps only: their colours, pixel-unshuffled.
        """
        structure: Tensor = self.structure(maps)
        if not self.painted:
            return structure
        colours = self.normalise((maps[:, :3] + 1) / 2) * (maps[:, 3:] > 0)
        return torch.cat([structure, F.pixel_unshuffle(colours, STRIDE).to(structure.dtype)], dim=1)

    def decode(self, structure: Tensor, parts: Tensor) -> Tensor:
        """Generate images about 0..1 from structure [B, C, h, w] and part features [B, C', 4]."""
        colours = None
        if self.painted:
            channels = structure.shape[1] - 3 * STRIDE**2
            structure, unshuffled = structure.tensor_split([channels], dim=1)
            colours = F.pixel_shuffle(unshuffled, STRIDE)
        if self.stripes == "body":
            block_features = parts.transpose(1, 2)
        else:
            block_features = parts.reshape(len(parts), parts.shape[2], parts.shape[1])
        images: Tensor = self.decoder(structure, block_features)
        if colours is not None:
            images = images + colours
        return images.float() * self.std + self.mean

    @torch.no_grad()
    def render(self, encoded: EncoderOutput, maps: Tensor) -> Tensor:
        """Render B people on V body maps each, [B, V, C, H, W]: about 0..1, [B, V, 3, H, W]."""
        parts = encoded.parts.repeat_interleave(maps.shape[1], 0)
        images = self.decode(self.encode_maps(maps.flatten(0, 1)), parts)
        return images.view(*maps.shape[:2], *images.shape[1:])

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images as the identity encoder's input, for decoder and discriminator."""
        return (images - self.mean) / self.std

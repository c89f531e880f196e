"""A small network that removes noise from pictures of people, on diffusers' U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.generators.pixel_diffusion.conditioning import Looks

GROUPS = 8
"""Of every group norm; all channels are multiples of it."""


class PersonUNet(nn.Module):
    """Predicts noisy pictures without their noise, given body maps and a person's looks.

    The map is laid beside the picture's channels; part features are attended to at the lowest
    level; the re-ID feature joins the time embedding. Blocks of pixels become channels first,
    because a network at full resolution costs two to four times as much for as many parameters.

    Args:
        height: Of the pictures.
        width: Of the pictures.
        maps: Channels of the body maps.
        part: Length of one stripe's feature.
        feature: Length of the re-ID feature.
        widths: Channels of each level, multiples of 8.
        layers: Residual blocks per level.
        patch_size: Side of the blocks of pixels.
        heads: Of every attention.
        cross: Width of the tokens that are attended to.
        painted: Whether maps bear colours and a silhouette (``structure.PAINTED``), to which the
            network then adds what is missing.
    """

    def __init__(
        self,
        height: int,
        width: int,
        maps: int,
        part: int,
        feature: int,
        widths: Sequence[int] = (96, 192),
        layers: int = 1,
        patch_size: int = 4,
        heads: int = 4,
        cross_attention_dim: int = 128,
        painted: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.painted = painted
        plain = len(widths) - 1
        self.unet = UNet2DConditionModel(
            sample_size=(height // patch_size, width // patch_size),
            in_channels=(3 + maps) * patch_size**2,
            out_channels=3 * patch_size**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * plain,
            norm_num_groups=GROUPS,
            cross_attention_dim=cross_attention_dim,
            encoder_hid_dim=part,
            attention_head_dim=heads,  # diffusers' name for the number of heads
            class_embed_type="projection",
            projection_class_embeddings_input_dim=feature,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, noisy: Tensor, time: Tensor, looks: Looks) -> Tensor:
        """Predict the pictures without noise, [B, 3, H, W]; see :func:`denoise`."""
        return denoise(self.unet, self.patch_size, self.painted, noisy, time, looks)


def denoise(
    unet: UNet2DConditionModel,
    patch_size: int,
    painted: bool,
    noisy: Tensor,
    time: Tensor,
    looks: Looks,
) -> Tensor:
    """Predict pictures without noise with the network of a :class:`PersonUNet`.

    Args:
        unet: The network.
        patch_size: Side of the blocks of pixels that are its channels.
        painted: Whether the first three channels of maps are colours where the fourth is positive.
        noisy: Pictures in about -1..1 with noise, [B, 3, H, W].
        time: Steps of the schedule, [B] int64.
        looks: Of the B pictures.

    Returns:
        [B, 3, H, W].
    """
    beside = torch.cat([noisy, looks.maps.to(noisy.dtype)], dim=1)
    tokens = looks.parts.transpose(1, 2)
    found = unet(
        F.pixel_unshuffle(beside, patch_size), time,
        encoder_hidden_states=tokens, class_labels=looks.feature,
    ).sample  # fmt: skip
    clean = F.pixel_shuffle(found, patch_size)
    return clean + looks.maps[:, :3] * (looks.maps[:, 3:] > 0) if painted else clean

"""The denoising network: diffusers' U-Net on patches, conditioned on body and person."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.generators.pixel_diffusion.conditioning import Conditioning

GROUPS = 8
"""Groups of every group norm; all widths are multiples of it."""


class PersonUNet(nn.Module):
    """Predicts x0 from noisy images, given body maps and identity features.

    The body map is concatenated to the image's channels; part features enter by cross-attention at
    the lowest level; the re-ID feature is added to the time embedding. Pixel unshuffling comes
    first, because a network at full resolution costs two to four times as much for as many
    parameters.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        maps: Channels of the body maps.
        part: Length of a part feature.
        feature: Length of the re-ID feature.
        widths: Channels of each level, multiples of 8.
        layers: Residual blocks per level.
        patch_size: Side of the unshuffled patches in pixels.
        heads: Attention heads.
        cross_attention_dim: Width of the cross-attention tokens.
        painted: Whether body maps hold colours and a silhouette (``map_kinds.PAINTED``), to which
            the network's output is added.
    """

    def __init__(
        self,
        height: int,
        width: int,
        maps: int,
        part: int,
        feature: int,
        *,
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
        plain_levels = len(widths) - 1
        self.unet = UNet2DConditionModel(
            sample_size=(height // patch_size, width // patch_size),
            in_channels=(3 + maps) * patch_size**2,
            out_channels=3 * patch_size**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * plain_levels + ("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * plain_levels,
            norm_num_groups=GROUPS,
            cross_attention_dim=cross_attention_dim,
            encoder_hid_dim=part,
            attention_head_dim=heads,  # diffusers' name for the number of heads
            class_embed_type="projection",
            projection_class_embeddings_input_dim=feature,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, x_t: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """Predict x0, [B, 3, H, W]; see :func:`predict_x0`."""
        return predict_x0(self.unet, self.patch_size, self.painted, x_t, t, condition)


def predict_x0(
    unet: UNet2DConditionModel,
    patch_size: int,
    painted: bool,
    x_t: Tensor,
    t: Tensor,
    condition: Conditioning,
) -> Tensor:
    """Predict x0 with the U-Net of a :class:`PersonUNet`.

    Args:
        unet: The U-Net.
        patch_size: Side of the unshuffled patches in pixels.
        painted: Whether the first three channels of body maps are colours where the fourth is
            positive.
        x_t: Noisy images, about -1..1, [B, 3, H, W].
        t: Timesteps of the schedule, [B] int64.
        condition: Conditioning of the B images.

    Returns:
        x0 in about -1..1, [B, 3, H, W].
    """
    inputs = torch.cat([x_t, condition.maps.to(x_t.dtype)], dim=1)  # [B, 3 + C, H, W]
    tokens = condition.parts.transpose(1, 2)  # [B, stripes, C']
    output = unet(
        F.pixel_unshuffle(inputs, patch_size), t,
        encoder_hidden_states=tokens, class_labels=condition.feature,
    ).sample  # fmt: skip
    x0_hat = F.pixel_shuffle(output, patch_size)
    return x0_hat + condition.maps[:, :3] * (condition.maps[:, 3:] > 0) if painted else x0_hat

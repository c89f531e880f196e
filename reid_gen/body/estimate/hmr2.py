"""HMR 2.0, the network of 4D-Humans, for user-supplied checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.body.estimate.regressor import from_6d

_HEAD_DIM = {"backbone": 80, "head": 64}
"""Dimension of one attention head in the backbone and in the SMPL head."""
_HEIGHT, _WIDTH = 256, 192
_POSE, _SHAPE, _CAMERA = 144, 10, 3


class Hmr2Network(nn.Module):
    """ViT backbone and a cross-attention decoder that regresses one body (Goel et al., ICCV 2023).

    Parameter names match the published checkpoints, except for those that
    :meth:`from_state_dict` converts.

    Args:
        width: Embedding dimension of the ViT.
        depth: Number of ViT blocks.
        head_width: Embedding dimension of the decoder.
        head_depth: Number of decoder layers.
        head_hidden: Hidden dimension of the decoder's feed-forward networks.
    """

    image_size = 256

    def __init__(
        self, width: int, depth: int, head_width: int, head_depth: int, head_hidden: int
    ) -> None:
        super().__init__()
        self.backbone = VisionTransformer(
            img_size=(_HEIGHT, _WIDTH),
            patch_size=16,
            num_classes=0,
            global_pool="",
            class_token=False,
            embed_dim=width,
            depth=depth,
            num_heads=width // _HEAD_DIM["backbone"],
        )
        self.backbone.patch_embed.proj.padding = (2, 2)
        self.smpl_head = _SmplHead(width, head_width, head_depth, head_hidden)

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Hmr2Network:
        """Build the network that fits a checkpoint's state dict, with untrained weights.

        Converts ``state`` in place: the class token's position embedding, which HMR 2.0 adds to
        every patch, is merged into the patches' embeddings, and ``last_norm`` becomes ``norm``.
        """
        pos_embed = state["backbone.pos_embed"]
        state["backbone.pos_embed"] = pos_embed[:, 1:] + pos_embed[:, :1]
        for part in ("weight", "bias"):
            state[f"backbone.norm.{part}"] = state.pop(f"backbone.last_norm.{part}")
        layers = "smpl_head.transformer.transformer.layers."
        head_hidden, head_width = state[f"{layers}0.2.fn.net.0.weight"].shape
        depth, head_depth = _num_layers(state, "backbone.blocks."), _num_layers(state, layers)
        return cls(pos_embed.shape[-1], depth, head_width, head_depth, head_hidden)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Regress rotations [B, 24, 3, 3], shape [B, 10] and camera [B, 3] of [B, 3, 256, 256]."""
        margin = (self.image_size - _WIDTH) // 2
        pose, shape, camera = self.smpl_head(self.backbone(images[..., margin:-margin]))
        return from_6d(pose.reshape(-1, 24, 6)), shape, camera


def _num_layers(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the layers whose names are ``prefix`` and an index."""
    suffixes = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    return 1 + max(int(name.split(".")[0]) for name in suffixes)


class _SmplHead(nn.Module):
    """Predicts one correction of the mean body from the decoder's output token."""

    init_body_pose: Tensor
    init_betas: Tensor
    init_cam: Tensor

    def __init__(self, context: int, width: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.transformer = _Decoder(context, width, depth, hidden)
        self.decpose = nn.Linear(width, _POSE)
        self.decshape = nn.Linear(width, _SHAPE)
        self.deccam = nn.Linear(width, _CAMERA)
        for name, size in (("body_pose", _POSE), ("betas", _SHAPE), ("cam", _CAMERA)):
            self.register_buffer(f"init_{name}", torch.zeros(1, size))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.transformer(tokens)
        return (
            self.init_body_pose + self.decpose(hidden),
            self.init_betas + self.decshape(hidden),
            self.init_cam + self.deccam(hidden),
        )


class _Decoder(nn.Module):
    def __init__(self, context: int, width: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.to_token_embedding = nn.Linear(1, width)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1, width))
        layers = nn.ModuleList(_Layer(context, width, hidden) for _ in range(depth))
        self.transformer = nn.ModuleDict({"layers": layers})

    def forward(self, context: Tensor) -> Tensor:
        """Decode image tokens [B, T, context] to one query's output [B, width]."""
        x: Tensor = self.to_token_embedding(context.new_zeros(len(context), 1, 1))
        x = x + self.pos_embedding
        for layer in self.transformer["layers"].children():
            x = layer(x, context)
        return x[:, 0]


class _Layer(nn.ModuleList):
    def __init__(self, context: int, width: int, hidden: int) -> None:
        attention, cross = _Attention(width), _CrossAttention(width, context)
        parts = (attention, cross, _FeedForward(width, hidden))
        super().__init__(_PreNorm(width, part) for part in parts)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        attention, cross, feed_forward = self
        x = x + attention(x)
        x = x + cross(x, context)
        result: Tensor = x + feed_forward(x)
        return result


class _PreNorm(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        result: Tensor = self.fn(self.norm(x), *context)
        return result


class _Attention(nn.Module):
    def __init__(self, width: int, inner: int = 8 * _HEAD_DIM["head"]) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.to_out(_attend(*self.to_qkv(x).chunk(3, dim=-1)))
        return result


class _CrossAttention(nn.Module):
    def __init__(self, width: int, context: int, inner: int = 8 * _HEAD_DIM["head"]) -> None:
        super().__init__()
        self.to_kv = nn.Linear(context, 2 * inner, bias=False)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        result: Tensor = self.to_out(_attend(self.to_q(x), *self.to_kv(context).chunk(2, dim=-1)))
        return result


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        # nn.Identity stands for the checkpoints' dropout, to keep the layer numbers.
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)
        return result


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (
        x.view(*x.shape[:2], -1, _HEAD_DIM["head"]).transpose(1, 2) for x in (query, key, value)
    )
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

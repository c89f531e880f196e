"""The network of 4D-Humans (HMR 2.0), whose checkpoints users bring."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from reid_gen.body.estimate.regressor import from_6d

_HEADS = {"backbone": 80, "head": 64}
"""Length of one attention head in either part."""
_ROWS, _COLUMNS = 256, 192
_POSE, _SHAPE, _CAMERA = 144, 10, 3


class Hmr2Network(nn.Module):
    """A vision transformer and a decoder that reads one body off its tokens (Goel et al., 2023).

    Names of parameters are those of the checkpoints, but for those that :meth:`of` explains.

    Args:
        width: Of the vision transformer.
        depth: Its blocks.
        head_width: Of the decoder.
        head_depth: Its layers.
        hidden: Of the decoder's feed-forward parts.
    """

    side = 256

    def __init__(
        self, width: int, depth: int, head_width: int, head_depth: int, hidden: int
    ) -> None:
        super().__init__()
        self.backbone = VisionTransformer(
            img_size=(_ROWS, _COLUMNS),
            patch_size=16,
            num_classes=0,
            global_pool="",
            class_token=False,
            embed_dim=width,
            depth=depth,
            num_heads=width // _HEADS["backbone"],
        )
        self.backbone.patch_embed.proj.padding = (2, 2)
        self.smpl_head = _Head(width, head_width, head_depth, hidden)

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Hmr2Network:
        """The network that a checkpoint's tensors belong to.

        Changes ``state``: the position of the class token, which such networks add to every other,
        goes into those; ``last_norm`` is called ``norm``.
        """
        position = state["backbone.pos_embed"]
        state["backbone.pos_embed"] = position[:, 1:] + position[:, :1]
        for part in ("weight", "bias"):
            state[f"backbone.norm.{part}"] = state.pop(f"backbone.last_norm.{part}")
        layers = "smpl_head.transformer.transformer.layers."
        hidden, head_width = state[f"{layers}0.2.fn.net.0.weight"].shape
        depth, head_depth = _count(state, "backbone.blocks."), _count(state, layers)
        return cls(position.shape[-1], depth, head_width, head_depth, hidden)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations [B, 24, 3, 3], shape [B, 10] and camera [B, 3] of images [B, 3, 256, 256]."""
        margin = (self.side - _COLUMNS) // 2
        pose, shape, camera = self.smpl_head(self.backbone(images[..., margin:-margin]))
        return from_6d(pose.reshape(-1, 24, 6)), shape, camera


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Number of layers that are numbered after a prefix."""
    numbers = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    return 1 + max(int(name.split(".")[0]) for name in numbers)


class _Head(nn.Module):
    """Corrects the mean body once, by what a learned token found in the image."""

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
        found = self.transformer(tokens)
        return (
            self.init_body_pose + self.decpose(found),
            self.init_betas + self.decshape(found),
            self.init_cam + self.deccam(found),
        )


class _Decoder(nn.Module):
    def __init__(self, context: int, width: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.to_token_embedding = nn.Linear(1, width)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 1, width))
        layers = nn.ModuleList(_Layer(context, width, hidden) for _ in range(depth))
        self.transformer = nn.ModuleDict({"layers": layers})

    def forward(self, context: Tensor) -> Tensor:
        """From tokens [B, T, context] to one vector [B, width]."""
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
    def __init__(self, width: int, inner: int = 8 * _HEADS["head"]) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.to_out(_attend(*self.to_qkv(x).chunk(3, dim=-1)))
        return result


class _CrossAttention(nn.Module):
    def __init__(self, width: int, context: int, inner: int = 8 * _HEADS["head"]) -> None:
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
        # The gap in the numbers is the checkpoints' dropout.
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)
        return result


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (
        x.view(*x.shape[:2], -1, _HEADS["head"]).transpose(1, 2) for x in (query, key, value)
    )
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

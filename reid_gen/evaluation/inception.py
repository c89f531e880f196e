"""The network that FID is defined by, from a user's file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.errors import UserError
from reid_gen.evaluation.features import Encode

SIDE = 299
WHERE = (
    "give inception-2015-12-05.pt, the TorchScript file that NVIDIA's StyleGAN3 and clean-fid use"
)


def load_inception(path: Path) -> Encode:
    """Features of FID: images in 0..1, [B, 3, H, W], to [B, 2048].

    Images are resized with antialiasing and rounded to 8 bits before (Parmar et al., CVPR 2022).

    Raises:
        UserError: If the file is missing or no TorchScript.
    """
    if not path.is_file():
        raise UserError(f"no Inception network at {path}; {WHERE}")
    try:
        network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"{path} is no TorchScript file ({reason}); {WHERE}") from error

    def encode(images: Tensor) -> Tensor:
        large = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
        pixels = large.clamp(0, 1).mul(255).round().to(torch.uint8)
        with torch.no_grad():
            features: Tensor = network(pixels, return_features=True)
        return features

    return encode

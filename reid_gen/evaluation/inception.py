"""The network that FID is defined by, from a user's file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_gen.errors import UserError
from reid_gen.models.encoder import FeatureExtractor

SIDE = 299
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
WHERE = (
    "give inception-2015-12-05.pt, the TorchScript file that NVIDIA's StyleGAN3 and clean-fid use"
)


def load_inception(path: Path) -> FeatureExtractor:
    """Features of FID: images in 0..1, [B, 3, H, W], to [B, 2048].

    Images are resized with antialiasing and rounded to 8 bits before (Parmar et al., CVPR 2022).

    Raises:
        UserError: If the file is missing or is another one.
    """
    if not path.is_file():
        raise UserError(f"no Inception network at {path}; {WHERE}")
    # TorchScript is a program; this one alone is known.
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{path} is another file than the known one (SHA-256 {SHA256}); {WHERE}")
    network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def encode(images: Tensor) -> Tensor:
        large = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
        pixels = large.clamp(0, 1).mul(255).round().to(torch.uint8)
        with torch.no_grad():
            features: Tensor = network(pixels, return_features=True)
        return features

    return encode

"""The Inception network of FID, loaded from the user's file."""

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
SOURCE_HINT = (
    "give inception-2015-12-05.pt, the TorchScript file that NVIDIA's StyleGAN3 and clean-fid use"
)


def load_inception(path: Path) -> FeatureExtractor:
    """Load the feature extractor of FID: images in 0..1, [B, 3, H, W], to features [B, 2048].

    Images are first resized with antialiasing and rounded to 8 bits (Parmar et al., CVPR 2022).

    Raises:
        UserError: If the file is missing or has an unexpected checksum.
    """
    if not path.is_file():
        raise UserError(f"no Inception network at {path}; {SOURCE_HINT}")
    # TorchScript files can run any code, so only the file with the known checksum is loaded.
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{path} does not have the expected SHA-256 {SHA256}; {SOURCE_HINT}")
    network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def encode(images: Tensor) -> Tensor:
        resized = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
        pixels = resized.clamp(0, 1).mul(255).round().to(torch.uint8)
        with torch.no_grad():
            features: Tensor = network(pixels, return_features=True)
        return features

    return encode

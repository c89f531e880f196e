"""Images per second of the training step and of feature extraction, relative to the bare network.

Run with ``make bench`` or ``python -m benchmarks.throughput --root DIR`` (a Market-1501 folder).
Without --root, the input are random crops in the size and format of Market-1501, read from a
temporary folder. The bare loops run the same network on random tensors in memory. Both alternate in
the same process, so that drifts in the machine's speed affect both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from reid_gen.data.datasets import load_dataset
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.sampling import identity_batches
from reid_gen.data.transforms import Augmentation
from reid_gen.evaluation.features import extract_features
from reid_gen.files import as_json
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.batch import prepare
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.run import environment
from reid_gen.training.step import IDENTITY, TrainableNetwork, TrainingStep
from reid_gen.types import Image

BATCH = 64
STEPS = 6
ROUNDS = 7


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="folder that contains Market-1501-v15.09.15")
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = crops(options.root, Path(folder))
        card = EncoderCard(options.backbone, "gem", options.height, options.width)
        result = {
            **environment(),
            "backbone": options.backbone,
            "input": f"{options.height} x {options.width}",
            "precision": options.precision,
            "batch": BATCH,
            "extract": measure_extract(card, images, options.precision),
            "train": measure_train(card, images, options.precision),
        }
    print(as_json(result))


def crops(root: Path | None, folder: Path) -> tuple[Image, ...]:
    """Load the images of Market-1501, or write random crops in its format."""
    if root is not None:
        return load_dataset("market1501", root).train
    rng = np.random.default_rng(0)
    for number in range(1024):
        coarse = Pillow.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        coarse.resize((64, 128), Pillow.Resampling.BICUBIC).save(folder / f"{number:04d}.jpg")
    return load_dataset("folder", folder).train


def measure_extract(
    card: EncoderCard, images: tuple[Image, ...], precision: str
) -> dict[str, float]:
    """Compare extraction from files with bare forward passes."""
    runtime = Runtime("bf16" if precision == "bf16" else "fp32")
    encode = runtime.encoder(create_encoder(card))
    random = torch.rand(BATCH, 3, card.height, card.width)
    loader = ImageLoader(images[: BATCH * STEPS], card.height, card.width, workers=2)

    def ours() -> None:
        extract_features(encode, loader, batch=BATCH)

    def bare() -> None:
        for _ in range(STEPS):
            encode(random)

    return compare(ours, bare)


def measure_train(card: EncoderCard, images: tuple[Image, ...], precision: str) -> dict[str, float]:
    """Compare the complete training step with bare forward and backward passes."""
    runtime = Runtime("bf16" if precision == "bf16" else "fp32")
    encoder = create_encoder(card, ghost_batch=BATCH).train()
    labels = np.arange(len(images)) // 8
    features = torch.nn.functional.normalize(torch.randn(len(images), encoder.feature_size), dim=1)
    weights = {"prototype": 1.0, "instance": 0.0}
    adam = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], fused=True)
    bank = MemoryBank(features, torch.from_numpy(labels), 0.2, 0.1)
    step = TrainingStep(
        encoder,
        trainable={IDENTITY: TrainableNetwork(encoder, adam)},
        generator=None,
        contrast=ContrastTerms(bank, 0.05, weights, Pairs()),
        weights=weights,
        runtime=runtime,
    )
    rng = np.random.default_rng(0)
    augment = Augmentation(flip=0.5, pad=5, erase=0.5, fill=(0.5, 0.5, 0.5))
    loader = ImageLoader(images, card.height, card.width, workers=2)
    sample = partial(identity_batches, labels, batch=BATCH, instances=8, rng=rng)
    batches = loader.read(sample(iterations=(ROUNDS + 2) * STEPS))
    random = torch.rand(BATCH, 3, card.height, card.width)

    def ours() -> None:
        for _ in range(STEPS):
            step(prepare(next(batches), augment, rng, runtime.device), 0)

    return compare(ours, partial(bare_training, encoder, random, runtime))


def bare_training(encoder: IdentityEncoder, images: torch.Tensor, runtime: Runtime) -> None:
    """Run only forward and backward passes of the network."""
    for _ in range(STEPS):
        encoder.zero_grad(set_to_none=True)
        with runtime.autocast():
            feature = encoder(images)
        feature.square().sum().backward()


def compare(ours: Callable[[], None], bare: Callable[[], None]) -> dict[str, float]:
    """Measure images per second of both in alternating rounds, and the median ratio."""
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for round_index in range(ROUNDS + 1):
        for name, call in (("ours", ours), ("bare", bare)):
            start = time.perf_counter()
            call()
            if round_index:  # the first round is a warm-up
                seconds[name].append(time.perf_counter() - start)
    pairs = zip(seconds["ours"], seconds["bare"], strict=True)
    count = BATCH * STEPS
    return {
        "ours_images_per_second": count / statistics.median(seconds["ours"]),
        "bare_images_per_second": count / statistics.median(seconds["bare"]),
        "ratio": statistics.median(bare / full for full, bare in pairs),
    }


if __name__ == "__main__":
    main()

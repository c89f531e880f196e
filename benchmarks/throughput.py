"""Images per second of training and extraction, relative to the bare networks.

Run with ``make bench`` or ``python -m benchmarks.throughput --root DIR`` (a Market-1501 folder).
Without --root, the input are random crops in the size and format of Market-1501, read from a
temporary folder. Each case is the complete loop: files, cache, body maps, augmentation, networks,
losses, memory bank and optimiser. The bare loops run the same networks on random tensors in memory:

- ``baseline``: forward and backward pass of the encoder, for each of --batches;
- ``extract``: forward pass; images are decoded in every round, as a single extraction does;
- ``joint``: the passes of a joint GCL step, one network at a time (benchmarks/joint_step.py);
- ``diffusion``: forward pass of the encoder, forward and backward pass of the denoising network.

Both loops of a case alternate in the same process, so that drifts in the machine's speed affect
both.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from benchmarks.joint_step import JointStep
from reid_gen.body.model import load_body
from reid_gen.body.render.body_maps import BodyMapRenderer
from reid_gen.body.table import BodyTable
from reid_gen.data.datasets import load_dataset
from reid_gen.data.loaders import DecodedBatch, ImageLoader
from reid_gen.data.pixel_cache import PixelCache
from reid_gen.data.sampling import identity_batches
from reid_gen.data.transforms import Augmentation
from reid_gen.evaluation.features import extract_features
from reid_gen.files import as_json
from reid_gen.generators.pixel_diffusion.conditioning import Conditioning
from reid_gen.generators.pixel_diffusion.generator import DiffusionPainter, PixelDiffusion
from reid_gen.generators.pixel_diffusion.sampler import Guidance
from reid_gen.generators.pixel_diffusion.unet import PersonUNet
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.generators.turned_maps import AnyAngle, TurnedMaps
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.batch import prepare
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.run import environment
from reid_gen.training.step import GENERATOR, IDENTITY, TrainableNetwork, TrainingStep
from reid_gen.types import Image

Loops = tuple[Callable[[], None], Callable[[], None], int]
"""The complete loop, the bare loop, and the number of images of each."""
CASES = ("baseline", "extract", "joint", "diffusion")
GENERATOR_BATCH = 16
IMAGES = 384
"""Images of a round of the baseline and of extraction; a quarter of it in the other cases."""
ROUNDS = 7
PLAIN = Augmentation(flip=0.5, pad=0, erase=0.0, fill=(0.5, 0.5, 0.5))
CROPPED = Augmentation(flip=0.5, pad=5, erase=0.5, fill=(0.5, 0.5, 0.5))


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder that contains Market-1501-v15.09.15")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--batches", type=int, nargs="+", default=[64], help="of the baseline")
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, crops(options.root, Path(folder)))
        result: dict[str, object] = {**environment(), "settings": vars(options)}
        for case in options.cases:
            sizes = options.batches if case == "baseline" else [None]
            for size in sizes:
                loops = getattr(bench, case)(*([size] if size else []))
                result[case if size is None else f"{case}, batch {size}"] = compare(*loops)
    print(as_json(result))


def crops(root: Path | None, folder: Path) -> tuple[Image, ...]:
    """Load the images of Market-1501, or write random crops in its format."""
    if root is not None:
        return load_dataset("market1501", root).train[:1024]
    rng = np.random.default_rng(0)
    for number in range(1024):
        coarse = Pillow.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        coarse.resize((64, 128), Pillow.Resampling.BICUBIC).save(folder / f"{number:04d}.jpg")
    return load_dataset("folder", folder).train


class Bench:
    """The cases: each method returns the loops of its name."""

    def __init__(self, options: argparse.Namespace, images: tuple[Image, ...]) -> None:
        self.options, self.images = options, images
        self.card = EncoderCard(options.backbone, "gem", options.height, options.width)
        self.runtime = Runtime(options.precision)
        self.rng = np.random.default_rng(0)
        self.size = (options.height, options.width)

    def _batches(
        self, batch: int, generator: ViewGenerator | None = None
    ) -> Iterator[DecodedBatch]:
        """Random batches of four images of each of several people, without end."""
        labels = np.arange(len(self.images)) // 8
        cache = PixelCache(*self.size, max_bytes=2**30)
        loader = ImageLoader(self.images, *self.size, workers=2, cache=cache)
        list(loader.in_order(256))  # later epochs find the images in the cache
        sample = partial(identity_batches, labels, batch=batch, instances=4, rng=self.rng)

        def make_conditions(images, pixels, number):  # type: ignore[no-untyped-def]
            assert generator is not None
            return generator.make_conditions(images, pixels, np.random.default_rng(number))

        for _ in itertools.count():
            yield from loader.read(
                sample(iterations=100), None if generator is None else make_conditions
            )

    def _take(
        self, step: TrainingStep, batches: Iterator[DecodedBatch], augment: Augmentation
    ) -> Callable[[int], None]:
        def take(steps: int) -> None:
            for number in range(1, steps + 1):
                step(prepare(next(batches), augment, self.rng, self.runtime.device), number)

        return take

    def baseline(self, batch: int) -> Loops:
        """Training of the encoder against its bare passes."""
        encoder = create_encoder(self.card, ghost_batch=32).to(self.runtime.device).train()
        weights = {"prototype": 1.0, "instance": 0.0}
        adam = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], fused=True)
        bank = _bank(len(self.images), encoder)
        step = TrainingStep(
            encoder,
            trainable={IDENTITY: TrainableNetwork(encoder, adam)},
            generator=None,
            contrast=ContrastTerms(bank, 0.05, weights, Pairs()),
            weights=weights,
            runtime=self.runtime,
        )
        take = self._take(step, self._batches(batch), CROPPED)
        random = torch.rand(batch, 3, *self.size, device=self.runtime.device)

        def bare() -> None:
            for _ in range(IMAGES // batch):
                encoder.zero_grad(set_to_none=True)
                with self.runtime.autocast():
                    feature = encoder(random)
                feature.square().sum().backward()

        return partial(take, IMAGES // batch), bare, IMAGES // batch * batch

    def extract(self) -> Loops:
        """Extraction from files against the bare forward pass."""
        encode = self.runtime.encoder(create_encoder(self.card))
        random = torch.rand(128, 3, *self.size, device=self.runtime.device)
        loader = ImageLoader(self.images[:IMAGES], *self.size, workers=2)

        def bare() -> None:
            for _ in range(IMAGES // 128):
                encode(random)

        return lambda: (extract_features(encode, loader, batch=128), None)[1], bare, IMAGES

    def joint(self) -> Loops:
        """The joint step of GCL against its passes."""
        options = argparse.Namespace(
            **vars(self.options), structure=8, judge=16, padding="reflect", batch=GENERATOR_BATCH
        )
        bench = JointStep(options, self._maps())
        take = self._take(bench.training_step, self._batches(GENERATOR_BATCH, bench.gan), PLAIN)
        passes = bench.passes()
        repeats = {"E_id, generated (one of 3)": 3}

        def bare() -> None:
            for _ in range(IMAGES // 4 // GENERATOR_BATCH):
                for name, call in passes.items():
                    for _ in range(repeats.get(name, 1)):
                        call()

        return partial(take, IMAGES // 4 // GENERATOR_BATCH), bare, IMAGES // 4

    def diffusion(self) -> Loops:
        """The generator step of pixel diffusion against its passes."""
        device = self.runtime.device
        encoder = create_encoder(self.card).to(device).eval().requires_grad_(False)
        unet = PersonUNet(
            *self.size, 3, encoder.channels, encoder.feature_size, widths=(64, 128), patch_size=4,
            heads=4, cross_attention_dim=128,
        )  # fmt: skip
        generator = PixelDiffusion(
            DiffusionPainter(unet, 0.999, Guidance(), 6), self._maps(), condition_dropout=0.1
        )
        generator.networks.to(device)
        adam = torch.optim.Adam(generator.networks.parameters(), fused=True)
        trainable = {GENERATOR: TrainableNetwork(generator.networks, adam)}
        step = TrainingStep(encoder, trainable, generator, None, {"noise": 1.0}, self.runtime)
        take = self._take(step, self._batches(GENERATOR_BATCH, generator), PLAIN)
        images = torch.rand(GENERATOR_BATCH, 3, *self.size, device=device)
        t = torch.full((GENERATOR_BATCH,), 500, device=device)

        def bare() -> None:
            for _ in range(IMAGES // 4 // GENERATOR_BATCH):
                with torch.no_grad(), self.runtime.autocast():
                    encoded = encoder.encode(images)
                condition = Conditioning(images, encoded.parts.float(), encoded.feature)
                with self.runtime.generator_autocast():
                    output = unet(images, t, condition)
                output.float().sum().backward()
                adam.step()
                adam.zero_grad(set_to_none=True)

        return partial(take, IMAGES // 4 // GENERATOR_BATCH), bare, IMAGES // 4

    def _maps(self) -> TurnedMaps:
        """Body maps of a standing body for every image."""
        count = len(self.images)
        camera = np.tile(np.array([0.9, 0, 0], np.float32), (count, 1))
        table = BodyTable(
            tuple(image.key for image in self.images),
            np.zeros((count, 24, 3), np.float32),
            np.zeros((count, 10), np.float32),
            camera,
            np.ones(count, np.float32),
            np.tile(self.size, (count, 1)),
            "standing",
        )
        renderer = BodyMapRenderer(table, load_body(None), *self.size)
        return TurnedMaps(renderer, "parts", AnyAngle(), min_score=0, max_sources=None)


def _bank(rows: int, encoder: IdentityEncoder) -> MemoryBank:
    device = encoder.mean.device
    features = torch.randn(rows, encoder.feature_size, device=device)
    labels = torch.arange(rows, device=device) // 8
    return MemoryBank(torch.nn.functional.normalize(features, dim=1), labels, 0.2, 0.1)


def compare(ours: Callable[[], None], bare: Callable[[], None], count: int) -> dict[str, float]:
    """Measure images per second of both in alternating rounds, and the median ratio."""
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for round_index in range(ROUNDS + 1):
        for name, call in (("ours", ours), ("bare", bare)):
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_index:  # the first round is a warm-up
                seconds[name].append(time.perf_counter() - start)
    pairs = zip(seconds["ours"], seconds["bare"], strict=True)
    return {
        "ours_images_per_second": count / statistics.median(seconds["ours"]),
        "bare_images_per_second": count / statistics.median(seconds["bare"]),
        "ratio": statistics.median(bare / full for full, bare in pairs),
    }


if __name__ == "__main__":
    main()

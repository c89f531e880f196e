"""Time of a joint GCL step compared with the sum of its network passes, timed separately.

The passes are those of the step, each with its backward pass: E_id four times, E_str twice, G three
times, D on three kinds of generated images and on real ones, D again on the generated images for
the generator loss, and the optimisers. The step adds losses, the memory bank, autograd between
networks, and data movement.

    python benchmarks/joint_step.py [--height 256 --width 128 --structure 16 --judge 32]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.config.stages import Weights
from reid_gen.files import as_json
from reid_gen.generators.gan.decoder import Decoder
from reid_gen.generators.gan.discriminator import MultiScaleDiscriminator
from reid_gen.generators.gan.generator import MeshGan
from reid_gen.generators.gan.painter import MeshPainter
from reid_gen.generators.gan.structure_encoder import StructureEncoder
from reid_gen.generators.protocol import ViewInputs
from reid_gen.generators.turned_maps import AnyAngle, TurnedMaps
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.runtime.devices import Runtime
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.run import environment
from reid_gen.training.step import (
    DISCRIMINATOR,
    GENERATOR,
    IDENTITY,
    Batch,
    TrainableNetwork,
    TrainingStep,
)

ROUNDS = 5
ROWS = 13_000
"""Number of rows of the memory bank, about the size of Market-1501."""


def main() -> None:
    """Measure all passes in alternating rounds and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--structure", type=int, default=8, help="width of E_str")
    parser.add_argument("--judge", type=int, default=16, help="width of D")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--padding", choices=["reflect", "zeros"], default="reflect")
    options = parser.parse_args()
    torch.manual_seed(0)
    bench = JointStep(options)
    seconds: dict[str, list[float]] = {}
    for round_index in range(ROUNDS + 1):
        for name, call in {"step": bench.step, **bench.passes()}.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_index:  # the first round is a warm-up
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    counts = {"step": 0, "E_id, generated (one of 3)": 3}
    total = sum(counts.get(name, 1) * value for name, value in medians.items())
    report = {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "overhead": round(medians["step"] / total - 1, 3),
        "images_per_second": round(options.batch / medians["step"], 2),
        "settings": vars(options),
        "environment": environment(),
    }
    print(as_json(report))


class JointStep:
    """Networks and a batch, with functions for the joint step and for each of its passes."""

    def __init__(self, options: argparse.Namespace, maps: TurnedMaps | None = None) -> None:
        self.runtime = Runtime("bf16")
        device, size = self.runtime.device, (options.height, options.width)
        card = EncoderCard(options.backbone, "gem", *size)
        self.encoder = create_encoder(card, ghost_batch=options.batch).to(device)
        structure = StructureEncoder(
            MAP_KINDS["parts"].channels, options.structure, padding=options.padding
        )
        decoder = Decoder(
            structure.out_channels, self.encoder.channels, hidden=256, padding=options.padding
        )
        painter = MeshPainter(structure, decoder, self.encoder.mean, self.encoder.std)
        discriminator = MultiScaleDiscriminator(options.judge, padding=options.padding)
        networks: tuple[nn.Module, ...] = (painter, discriminator)
        for network in networks:
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if maps is None:  # the batch holds body maps already
            maps = TurnedMaps(None, "parts", AnyAngle(), min_score=0, max_sources=None)  # type: ignore[arg-type]
        self.gan = MeshGan(painter, discriminator, maps, penalty_every=10**9)
        self.trainable = {
            name: TrainableNetwork(network, torch.optim.Adam(_parameters(network), fused=True))
            for name, network in (
                (IDENTITY, self.encoder), (GENERATOR, painter), (DISCRIMINATOR, discriminator),
            )
        }  # fmt: skip
        self.batch = _batch(options.batch, size, device)
        self.training_step = self._training_step()
        self.number = 0

    def _training_step(self) -> TrainingStep:
        weights = Weights(view_prototype=1.0).model_dump()
        gan = ("image", "cycle", "feature", "adversarial", "fake", "real", "penalty")
        labels = torch.from_numpy(np.arange(ROWS) // 17)
        features = torch.nn.functional.normalize(
            torch.randn(ROWS, self.encoder.feature_size), dim=1
        )
        device = self.runtime.device
        bank = MemoryBank(features.to(device), labels.to(device), 0.2, 0.1)
        self.encoder.train()
        return TrainingStep(
            self.encoder,
            self.trainable,
            self.gan,
            ContrastTerms(bank, 0.05, weights, Pairs()),
            {**weights, **dict.fromkeys(gan, 1.0)},
            self.runtime,
        )

    def step(self) -> None:
        """Run the joint step without the gradient penalty, which only every 16th step has."""
        self.number += 1
        self.training_step(self.batch, self.number)

    def passes(self) -> dict[str, Callable[[], None]]:
        """Return the passes of the step, one network at a time, by name."""
        images, sources = self.batch.images, self.batch.sources
        assert sources is not None
        body_map = sources.conditions["unturned"]
        painter = self.gan.painter
        with torch.no_grad():
            structure = painter.structure(body_map)
            parts = self.encoder.encode(images).parts.transpose(1, 2)
        generated = images.clone().requires_grad_()
        style, shape = parts.clone().requires_grad_(), structure.clone().requires_grad_()
        fakes = torch.cat([images] * 3)
        fakes_with_grad = fakes.clone().requires_grad_()

        def encode(pixels: Tensor) -> Tensor:
            encoded = self.encoder.encode(pixels)
            return encoded.feature.sum() + encoded.parts.sum()

        def discriminate(pixels: Tensor) -> Tensor:
            logits = self.gan.discriminator(pixels)
            return torch.stack([scale.float().sum() for scale in logits]).sum()

        return {
            "E_id, real": lambda: self._pass(encode, images),
            "E_id, generated (one of 3)": lambda: self._pass(encode, generated),
            "E_str, both maps": lambda: self._pass(
                painter.structure, torch.cat([body_map, body_map])
            ),
            "G, reconstruction and view": lambda: self._pass(
                painter.decoder, torch.cat([shape, shape]), torch.cat([style, style])
            ),
            "G, cycle": lambda: self._pass(painter.decoder, shape, style),
            "D, generated": lambda: self._discriminate(discriminate, fakes, True),
            "D, real": lambda: self._discriminate(discriminate, images, True),
            "D for G, generated": lambda: self._discriminate(discriminate, fakes_with_grad, False),
            "optimisers": self._optimise,
        }

    def _pass(self, call: Callable[..., Tensor], *inputs: Tensor) -> None:
        with self.runtime.generator_autocast():
            output = call(*inputs)
        output.float().sum().backward()

    def _discriminate(
        self, call: Callable[..., Tensor], images: Tensor, requires_grad: bool
    ) -> None:
        self.trainable[DISCRIMINATOR].requires_grad_(requires_grad)
        self._pass(call, images)

    def _optimise(self) -> None:
        for network in self.trainable.values():
            network.optimizer.step()
            network.optimizer.zero_grad(set_to_none=True)


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _batch(count: int, size: tuple[int, int], device: torch.device) -> Batch:
    images = torch.rand(count, 3, *size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(count, device=device)
    maps = {"unturned": 2 * images - 1, "turned": 1 - 2 * images}
    return Batch(images, rows, rows.numpy(), ViewInputs(rows, images, maps))


if __name__ == "__main__":
    main()

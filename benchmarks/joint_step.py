"""A joint step of GCL against the sum of its parts, each network timed alone, in one process.

The parts are the passes that the step needs: E_id four times, E_str twice, G three times, D on
three kinds of generated images and on real ones, and on the generated ones again for the generator;
forward and backward each, with gradients where the step has them, and the optimisers. What the step
adds is losses, memory bank, autograd's bookkeeping between networks, and moving data.

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

TURNS = 5
ROWS = 13_000
"""Rows of the memory bank: about as many as Market-1501 has training images."""


def main() -> None:
    """Parse, measure in turns, print JSON."""
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
    scene = Scene(options)
    seconds: dict[str, list[float]] = {}
    for turn in range(TURNS + 1):
        for name, call in {"step": scene.step, **scene.parts()}.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    times = {"step": 0, "E_id, drawn (one of 3)": 3}
    parts = sum(times.get(name, 1) * value for name, value in middle.items())
    report = {
        "seconds": {name: round(value, 4) for name, value in middle.items()},
        "overhead": round(middle["step"] / parts - 1, 3),
        "images_per_second": round(options.batch / middle["step"], 2),
        "settings": vars(options),
        "environment": environment(),
    }
    print(as_json(report))


class Scene:
    """Networks, a batch, the step and its parts."""

    def __init__(self, options: argparse.Namespace) -> None:
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
        judge = MultiScaleDiscriminator(options.judge, padding=options.padding)
        networks: tuple[nn.Module, ...] = (painter, judge)
        for network in networks:
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        maps = TurnedMaps(None, "parts", AnyAngle(), min_score=0, max_sources=None)  # type: ignore[arg-type]
        self.gan = MeshGan(painter, judge, maps, penalty_every=10**9)
        self.trainable = {
            name: TrainableNetwork(network, torch.optim.Adam(_trained(network), fused=True))
            for name, network in (
                (IDENTITY, self.encoder), (GENERATOR, painter), (DISCRIMINATOR, judge),
            )
        }  # fmt: skip
        self.batch = _batch(options.batch, size, device)
        self.whole = self._whole()
        self.number = 0

    def _whole(self) -> TrainingStep:
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
        """The whole step, without the gradient penalty, which comes every 16th."""
        self.number += 1
        self.whole(self.batch, self.number)

    def parts(self) -> dict[str, Callable[[], None]]:
        """The same passes, one network at a time."""
        images, sources = self.batch.images, self.batch.sources
        assert sources is not None
        map_ = sources.conditions["unturned"]
        painter = self.gan.painter
        with torch.no_grad():
            structure = painter.structure(map_)
            parts = self.encoder.encode(images).parts.transpose(1, 2)
        drawn = images.clone().requires_grad_()
        style, shape = parts.clone().requires_grad_(), structure.clone().requires_grad_()
        fakes = torch.cat([images] * 3)
        judged = fakes.clone().requires_grad_()

        def encode(conditions: Tensor) -> Tensor:
            found = self.encoder.encode(conditions)
            return found.feature.sum() + found.parts.sum()

        def judge(conditions: Tensor) -> Tensor:
            found = self.gan.discriminator(conditions)
            return torch.stack([some.float().sum() for some in found]).sum()

        return {
            "E_id, real": lambda: self._pass(encode, images),
            "E_id, drawn (one of 3)": lambda: self._pass(encode, drawn),
            "E_str, both maps": lambda: self._pass(painter.structure, torch.cat([map_, map_])),
            "G, rebuilt and view": lambda: self._pass(
                painter.decoder, torch.cat([shape, shape]), torch.cat([style, style])
            ),
            "G, cycled": lambda: self._pass(painter.decoder, shape, style),
            "D, drawn": lambda: self._judge(judge, fakes, True),
            "D, real": lambda: self._judge(judge, images, True),
            "D for G, drawn": lambda: self._judge(judge, judged, False),
            "optimisers": self._optimise,
        }

    def _pass(self, call: Callable[..., Tensor], *inputs: Tensor) -> None:
        with self.runtime.generator_autocast():
            made = call(*inputs)
        made.float().sum().backward()

    def _judge(self, call: Callable[..., Tensor], conditions: Tensor, learns: bool) -> None:
        self.trainable[DISCRIMINATOR].requires_grad_(learns)
        self._pass(call, conditions)

    def _optimise(self) -> None:
        for learner in self.trainable.values():
            learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _batch(count: int, size: tuple[int, int], device: torch.device) -> Batch:
    images = torch.rand(count, 3, *size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    rows = torch.arange(count, device=device)
    maps = {"unturned": 2 * images - 1, "turned": 1 - 2 * images}
    return Batch(images, rows, ViewInputs(rows, images, maps))


if __name__ == "__main__":
    main()

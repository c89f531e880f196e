"""The training loop: extract, cluster, fill the memory bank, contrast; again."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reid_gen.cluster.assign import PseudoLabels
from reid_gen.data.images import unreadable_error
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import Augmentation
from reid_gen.engine.progress import Progress
from reid_gen.engine.runtime import Runtime
from reid_gen.engine.seed import generator
from reid_gen.engine.stages import Place, Stage
from reid_gen.engine.steps import ContrastStep
from reid_gen.errors import UserError
from reid_gen.evaluation.features import extract_features
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.types import Floats, Ints, Scalars


class DrawBatches(Protocol):
    """:func:`~reid_gen.data.sampling.identity_batches` with its settings filled in."""

    def __call__(
        self, labels: Ints, *, iterations: int, rng: np.random.Generator
    ) -> Iterator[Ints]:
        """Yield rows [P * K] of each batch."""
        ...


@dataclass(frozen=True)
class Epoch:
    """What one epoch leaves: its measurements and its memory bank."""

    record: dict[str, float | int | str]
    bank: MemoryBank


@dataclass
class Trainer:
    """Trains an encoder on images without labels.

    Attributes:
        encoder: E_id.
        optimizer: Of its parameters.
        loader: The N training images.
        augmentation: Random changes of a training image.
        cluster: From features [N, D] to pseudo labels.
        fill_bank: From features [N, D] and pseudo labels [N] to a memory bank.
        draw_batches: From pseudo labels to batches of rows.
        temperature: Of the contrastive loss.
        weights: Weight of each loss term.
        stages: Of the run.
        seed: Of the run.
        extract_batch: Images per pass outside training.
        runtime: Device, precision and processes.
        progress: Display.
        quality: Display only: agreement of pseudo labels with true pids, where there are any.
    """

    encoder: IdentityEncoder
    optimizer: torch.optim.Optimizer
    loader: ImageLoader
    augmentation: Augmentation
    cluster: Callable[[Floats], PseudoLabels]
    fill_bank: Callable[[Tensor, Tensor], MemoryBank]
    draw_batches: DrawBatches
    temperature: float
    weights: Mapping[str, float]
    stages: Sequence[Stage]
    seed: int
    extract_batch: int
    runtime: Runtime
    progress: Progress
    quality: Callable[[Ints], Scalars] | None = None

    def __post_init__(self) -> None:
        self.encode = self.runtime.encoder(self.encoder)

    def epoch(self, place: Place) -> Epoch:
        """Run one epoch.

        Raises:
            UserError: If images do not decode, clustering collapses or the loss is not finite.
        """
        start = time.perf_counter()
        stage = self.stages[place.stage]
        features = self._extract(place)
        extracted = time.perf_counter()
        found = self._pseudo_labels(features)
        clustered = time.perf_counter()
        device = self.runtime.device
        bank = self.fill_bank(
            torch.from_numpy(features).to(device), torch.from_numpy(found.labels).to(device)
        )
        losses = self._descend(place, stage, bank, found.labels)
        trained = time.perf_counter()
        record: dict[str, float | int | str] = {
            "stage": stage.name,
            **found.summary(),
            **(self.quality(found.labels) if self.quality else {}),
            **losses,
            "learning_rate": stage.rate(place.epoch),
            "seconds_extract": extracted - start,
            "seconds_cluster": clustered - extracted,
            "seconds_train": trained - clustered,
            "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
        return Epoch(record, bank)

    def _extract(self, place: Place) -> Floats:
        """Features of all training images, [N, D]; the processes share the work."""
        shares = np.array_split(np.arange(len(self.loader.images)), self.runtime.processes)
        mine = self.loader.part(shares[self.runtime.rank])
        with self.progress.task(f"epoch {place.total + 1}: extract", len(mine.images)) as advance:
            extracted = extract_features(
                self.encode, mine, batch=self.extract_batch, advance=advance
            )
        parts = self.runtime.collect(extracted)
        failures = [failure for part in parts for failure in part.failures]
        if failures:
            raise unreadable_error(failures)
        return np.concatenate([part.features for part in parts])

    def _pseudo_labels(self, features: Floats) -> PseudoLabels:
        """Cluster on one process, so that all see the same labels."""
        found = self.runtime.from_main(self.cluster(features) if self.runtime.is_main else None)
        assert found is not None
        if found.clusters < 2:
            raise UserError(
                f"clustering found {found.clusters} cluster(s) among {len(features)} images at eps "
                f"{found.eps:.3f}, and training needs at least 2; change clustering.eps "
                "(larger if most images are outliers, smaller if one cluster holds them all) or "
                "start from better weights"
            )
        return found

    def _descend(
        self, place: Place, stage: Stage, bank: MemoryBank, labels: Ints
    ) -> dict[str, float]:
        """Take the stage's iterations; returns the mean of every loss term."""
        step = ContrastStep(
            self.encoder,
            self.optimizer,
            bank,
            temperature=self.temperature,
            weights=self.weights,
            runtime=self.runtime,
        )
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = stage.rate(place.epoch), stage.weight_decay
        rank, device = self.runtime.rank, self.runtime.device
        batches = self.draw_batches(
            labels, iterations=stage.iterations, rng=generator(self.seed, place.total)
        )
        mine = (np.array_split(rows, self.runtime.processes)[rank] for rows in batches)
        changes = generator(self.seed, place.total, rank, 1)
        totals: dict[str, float] = {}
        self.encoder.train()
        with self.progress.task(f"epoch {place.total + 1}: train", stage.iterations) as advance:
            for batch in self.loader.read(mine):
                if batch.failures:
                    raise unreadable_error(list(batch.failures))
                images = self.augmentation(batch.pixels, changes).to(device)
                terms = step(images, torch.from_numpy(batch.index).to(device))
                for name, value in terms.items():
                    totals[name] = totals.get(name, 0.0) + value
                if not math.isfinite(sum(terms.values())):
                    raise UserError(
                        f"the loss is {dict(terms)} in epoch {place.total + 1}; lower "
                        "learning_rate of the stage, then resume the run's last checkpoint"
                    )
                advance(1)
        self.runtime.average_statistics(self.encoder)
        return {f"loss_{name}": total / stage.iterations for name, total in totals.items()}

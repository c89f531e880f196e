"""The training loop: extract, cluster, fill the memory bank; draw, judge, contrast; again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reid_gen.cluster.pseudo_labels import PseudoLabels, usual_neighbours
from reid_gen.data.batch_sampler import share, steps
from reid_gen.data.images import unreadable_error
from reid_gen.data.loaders import DecodedBatch, ImageLoader
from reid_gen.data.sampling import shuffled_batches
from reid_gen.data.sidecar import ConditionInputs, MakeConditions
from reid_gen.errors import UserError
from reid_gen.evaluation.features import extract_features
from reid_gen.generators.protocol import ViewGenerator
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.progress import Progress
from reid_gen.runtime.seeding import seeded_rng
from reid_gen.training.batch import prepare, with_views
from reid_gen.training.contrastive_terms import ContrastTerms
from reid_gen.training.epoch_checks import check_finite, check_views
from reid_gen.training.pose_pretraining import Pretraining
from reid_gen.training.pose_step import POSE
from reid_gen.training.preview import views_sheet
from reid_gen.training.recipe import StageRecipe
from reid_gen.training.stages import EpochPosition, Stage
from reid_gen.training.step import (
    DISCRIMINATOR,
    GENERATOR,
    IDENTITY,
    TrainableNetwork,
    TrainingStep,
)
from reid_gen.types import Float32Array, Image, Int64Array, Scalars, Uint8Array

PARTNERS = {GENERATOR: DISCRIMINATOR, POSE: IDENTITY}
"""Who learns with whom."""
Record = dict[str, float | int | str]


@dataclass(frozen=True)
class Epoch:
    """What one epoch leaves: its measurements and its memory bank, if it had one."""

    record: Record
    bank: MemoryBank | None


@dataclass
class Trainer:
    """Trains an encoder on images without labels, and what draws views for it.

    Attributes:
        encoder: E_id.
        identity: The encoder with its optimiser, by the optimiser's name.
        trainable: ``generator`` and ``discriminator``, or ``pose``, if there are any.
        generator: Source of views; None for the baseline.
        generator_batch: Images per batch of a stage that trains the generator alone.
        real_statistics: Whether the encoder's running statistics come from real images alone.
        mean: What the generator draws by; None is the encoder itself.
        loader: The training images.
        recipes: What each stage learns from.
        stages: Of the run.
        fill_bank: From features [N, D], labels [N] and maybe ``camids`` [N] to a memory bank.
        seed: Of the run.
        extract_batch: Images per pass outside training.
        runtime: Device, precision and processes.
        progress: Display.
        pretraining: Groups of pictures that share a pose, if a stage learns from them.
        quality: Display only: agreement of pseudo labels with true pids, where there are any.
    """

    encoder: IdentityEncoder
    identity: Mapping[str, TrainableNetwork]
    trainable: Mapping[str, TrainableNetwork]
    generator: ViewGenerator | None
    generator_batch: int
    real_statistics: bool
    mean: EmaEncoder | None
    loader: ImageLoader
    recipes: Sequence[StageRecipe]
    stages: Sequence[Stage]
    fill_bank: Callable[..., MemoryBank]
    seed: int
    extract_batch: int
    runtime: Runtime
    progress: Progress
    pretraining: Pretraining | None = None
    quality: Callable[[Int64Array], Scalars] | None = None

    def __post_init__(self) -> None:
        self.encode = self.runtime.encoder(self.encoder)

    def epoch(self, place: EpochPosition) -> Epoch:
        """Run one epoch.

        Raises:
            UserError: If images do not decode, clustering collapses, the loss is not finite, or no
                image gets a view in a stage that draws some.
        """
        stage = self.stages[place.stage]
        record: Record = {"stage": stage.name}
        if self.mean is not None and IDENTITY not in stage.trains and place.epoch == 0:
            self.mean.reset(self.encoder)
        if self._draws_views(stage):
            record["without_views"] = int((~self._usable()).sum())
        bank = None
        recipe = self.recipes[place.stage]
        if POSE in stage.trains:
            losses = self._pretrain(place)
        elif IDENTITY not in stage.trains:
            drawn = self._plainly(stage, place)
            losses = self._descend(place, self.loader, drawn, self._step(place, None))
        else:
            labels, bank = self._labelled(place, recipe, record)
            drawn = recipe.pool.by_label(labels, stage.iterations, self._rng(place))
            step = self._step(place, recipe.contrast(bank))
            losses = self._descend(place, recipe.pool.loader, drawn, step)
        return Epoch({**record, **losses, **self.runtime.peak_memory()}, bank)

    def _labelled(
        self, place: EpochPosition, recipe: StageRecipe, record: Record
    ) -> tuple[Int64Array, MemoryBank]:
        """Labels and the memory bank of an epoch; adds what was found to the record."""
        start = time.perf_counter()
        features = self._extract(recipe.pool.loader, place)
        extracted = time.perf_counter()
        record["seconds_extract"] = extracted - start
        labels = recipe.labels
        if labels is None:
            found = self._pseudo_labels(features, recipe)
            labels = found.labels
            record |= {**found.summary(), **(self.quality(labels) if self.quality else {})}
            record["seconds_cluster"] = time.perf_counter() - extracted
        record["learning_rate"] = self.stages[place.stage].rate(place.epoch)
        device = self.runtime.device
        on_device = (torch.from_numpy(some).to(device) for some in (features, labels))
        camids = None if recipe.camids is None else torch.from_numpy(recipe.camids).to(device)
        return labels, self.fill_bank(*on_device, camids=camids)

    def _extract(self, loader: ImageLoader, place: EpochPosition) -> Float32Array:
        """Features of all images, [N, D]; the processes share the work."""
        shares = np.array_split(np.arange(len(loader.images)), self.runtime.processes)
        mine = loader.part(shares[self.runtime.rank])
        with self.progress.task(f"epoch {place.number}: extract", len(mine.images)) as advance:
            extracted = extract_features(
                self.encode, mine, batch=self.extract_batch, advance=advance
            )
        parts = self.runtime.gather_objects(extracted)
        failures = [failure for part in parts for failure in part.failures]
        if failures:
            raise unreadable_error(failures)
        return np.concatenate([part.features for part in parts])

    def _pseudo_labels(self, features: Float32Array, recipe: StageRecipe) -> PseudoLabels:
        """Cluster on one process, so that all see the same labels."""
        found = self.runtime.broadcast(recipe.cluster(features) if self.runtime.is_main else None)
        assert found is not None
        if found.clusters < 2:
            k1, k2 = usual_neighbours(len(features))
            by = "" if found.eps is None else f" at eps {found.eps:.3f}"
            raise UserError(
                f"clustering found {found.clusters} cluster(s) among {len(features)} images{by}, "
                "and training needs at least 2; change clustering.eps (larger if most images are "
                "outliers, smaller if one cluster holds them all), clustering.min_samples, or "
                f"clustering.k1 and k2 ({k1} and {k2} suit so many images), or start from better "
                "weights"
            )
        return found

    def _plainly(self, stage: Stage, place: EpochPosition) -> Iterator[Int64Array]:
        """Batches of images that can get views, for a generator that learns alone."""
        rows = np.flatnonzero(self._usable())
        return shuffled_batches(
            rows,
            batch=self.generator_batch,
            iterations=stage.iterations or steps(len(rows), self.generator_batch),
            rng=self._rng(place),
        )

    def _rng(self, place: EpochPosition) -> np.random.Generator:
        """Decides which images an epoch sees, the same on all processes."""
        return seeded_rng(self.seed, place.total)

    def _changes(self, place: EpochPosition) -> np.random.Generator:
        """Decides how an epoch's images are augmented, on each process in its own way."""
        return seeded_rng(self.seed, place.total, self.runtime.rank, 1)

    def _pretrain(self, place: EpochPosition) -> Record:
        """An epoch on groups of pictures that share a pose."""
        assert self.pretraining is not None
        stage, groups = self.stages[place.stage], self.pretraining
        trainable = list(self._learners(place).values())
        drawn = groups.batches(stage.iterations, self._rng(place))
        step = groups.step(self.encoder, trainable, self.runtime, self._changes(place))
        return self._descend(place, groups.pool.loader, drawn, step)

    def _step(
        self, place: EpochPosition, contrast: ContrastTerms | None
    ) -> Callable[[DecodedBatch, int], Scalars]:
        """What is done with each decoded batch of a stage that is no pre-training."""
        recipe = self.recipes[place.stage]
        step = TrainingStep(
            encoder=self.encoder,
            trainable=self._learners(place),
            generator=self.generator,
            contrast=contrast,
            weights=recipe.weights,
            runtime=self.runtime,
            real_statistics=self.real_statistics,
            mean=self.mean if IDENTITY in self.stages[place.stage].trains else None,
        )
        changes = self._changes(place)

        def prepared(decoded: DecodedBatch, number: int) -> Scalars:
            weak = recipe.weights["weak_view"] > 0
            batch = prepare(decoded, recipe.augmentation, changes, self.runtime.device, weak)
            return step(batch, number)

        return prepared

    def _descend(
        self,
        place: EpochPosition,
        loader: ImageLoader,
        batches: Iterator[Int64Array],
        step: Callable[[DecodedBatch, int], Scalars],
    ) -> Record:
        """Take the stage's steps; returns the mean of every loss term, and the speed."""
        start, images, viewed = time.perf_counter(), 0, 0
        mine = [share(rows, self.runtime.rank, self.runtime.processes) for rows in batches]
        totals: dict[str, list[float]] = {}
        reading = loader.read(mine, self._make_conditions(place, self.stages[place.stage]))
        with self.progress.task(f"epoch {place.number}: train", len(mine)) as advance:
            for number, decoded in enumerate(reading):
                terms = step(decoded, number)
                check_finite(terms, place)
                images += len(decoded.index)
                viewed += with_views(decoded)
                for name, value in terms.items():
                    totals.setdefault(name, []).append(value)
                advance(1)
        for encoder in (self.encoder, self.mean):
            if encoder is not None:
                self.runtime.average_statistics(encoder)
        if self._draws_views(self.stages[place.stage]):
            check_views(viewed, place)
        means: Record = {f"loss_{name}": float(np.mean(found)) for name, found in totals.items()}
        seconds = time.perf_counter() - start
        return {**means, "seconds_train": seconds, "images_per_second": images / seconds}

    def show(self, stage: Stage) -> Uint8Array | None:
        """A contact sheet of views of some training images, [h, w, 3], if the stage has views."""
        if self.generator is None or not self._draws_views(stage):
            return None
        encoder = self.encoder if self.mean is None else self.mean.encoder
        return views_sheet(self.generator, encoder, self.loader, self.runtime)

    def _draws_views(self, stage: Stage) -> bool:
        return self.generator is not None and (stage.views or GENERATOR in stage.trains)

    def _usable(self) -> NDArray[np.bool_]:
        """Which training images can get views, [N]."""
        assert self.generator is not None
        return self.generator.usable(self.loader.images)

    def _learners(self, place: EpochPosition) -> dict[str, TrainableNetwork]:
        """Who learns in a stage, at its learning rates; all others are frozen."""
        stage = self.stages[place.stage]
        trainable = {IDENTITY: self.identity[self.recipes[place.stage].optimizer], **self.trainable}
        wanted = set(stage.trains) | {
            partner for name, partner in PARTNERS.items() if name in stage.trains
        }
        for name, learner in trainable.items():
            learner.requires_grad_(name in wanted)
            for group in learner.optimizer.param_groups:
                if name in (IDENTITY, POSE):
                    group["weight_decay"] = stage.weight_decay
                    group["lr"] = stage.rate(place.epoch)
                else:
                    group["lr"] = stage.generator_learning_rate
        self.encoder.train(IDENTITY in wanted)
        return {name: learner for name, learner in trainable.items() if name in wanted}

    def _make_conditions(self, place: EpochPosition, stage: Stage) -> MakeConditions | None:
        """What the generator wants beside the images; random by place alone."""
        source = self.generator
        if source is None or not self._draws_views(stage):
            return None

        def make_conditions(
            images: Sequence[Image], pixels: Uint8Array, number: int
        ) -> ConditionInputs:
            seed = [self.seed, place.total, self.runtime.rank, 2, number]
            return source.make_conditions(images, pixels, np.random.default_rng(seed))

        return make_conditions

"""The training loop: extract, cluster, fill the memory bank, then step through the batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reid_gen.cluster.pseudo_labels import PseudoLabels
from reid_gen.data.batch_sampler import rows_of_processes, steps_per_epoch
from reid_gen.data.images import unreadable_error
from reid_gen.data.loaders import ConditionInputs, DecodedBatch, ImageLoader, MakeConditions
from reid_gen.data.sampling import shuffled_batches
from reid_gen.evaluation.features import extract_features
from reid_gen.generators.protocol import Terms, ViewGenerator
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.ema_encoder import EmaEncoder
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.progress import Progress
from reid_gen.runtime.seeding import seeded_rng
from reid_gen.training.batch import StepFn, prepare, with_views
from reid_gen.training.contrastive_terms import ContrastTerms
from reid_gen.training.epoch_checks import check_clusters, check_views
from reid_gen.training.loss_log import LossLog
from reid_gen.training.pose_pretraining import Pretraining
from reid_gen.training.pose_step import POSE
from reid_gen.training.preview import views_sheet
from reid_gen.training.profile import Profile, Step
from reid_gen.training.stages import EpochPosition, Stage
from reid_gen.training.step import (
    DISCRIMINATOR,
    GENERATOR,
    IDENTITY,
    TrainableNetwork,
    TrainingStep,
)
from reid_gen.types import Float32Array, Image, Int64Array, Scalars, Uint8Array

TRAINED_WITH = {GENERATOR: DISCRIMINATOR, POSE: IDENTITY}
"""Network -> the network that is always trained with it."""
Record = dict[str, float | int | str]


@dataclass(frozen=True)
class Epoch:
    """Result of one epoch: its metrics and its memory bank, if it had one."""

    record: Record
    bank: MemoryBank | None


@dataclass
class Trainer:
    """Trains an identity encoder on images without labels, and a generator of views with it.

    Attributes:
        encoder: Identity encoder E_id.
        identity: The encoder with its optimiser, by the optimiser's name.
        trainable: ``generator`` and ``discriminator``, or ``pose``, if the run trains any.
        generator: Source of views; None for the baseline.
        generator_batch: Images per batch of a stage that trains the generator alone.
        real_statistics: Whether the encoder's running statistics come from real images alone.
        ema_encoder: EMA of the encoder, whose features condition the generator; None uses the
            encoder itself.
        loader: Loader of the training images.
        stages: Stages of the run.
        fill_bank: Builds a memory bank from features [N, D], labels [N] and, where a term needs
            them, ``camids`` [N].
        seed: Seed of the run.
        extract_batch: Images per forward pass outside training.
        runtime: Device, precision and processes.
        progress: Progress display.
        pretraining: Pose pre-training, if a stage uses it.
        quality: Measures pseudo labels against true pids for display; None without pids.
        profile: Traces steps; None traces none.
    """

    encoder: IdentityEncoder
    identity: Mapping[str, TrainableNetwork]
    trainable: Mapping[str, TrainableNetwork]
    generator: ViewGenerator | None
    generator_batch: int
    real_statistics: bool
    ema_encoder: EmaEncoder | None
    loader: ImageLoader
    stages: Sequence[Stage]
    fill_bank: Callable[..., MemoryBank]
    seed: int
    extract_batch: int
    runtime: Runtime
    progress: Progress
    pretraining: Pretraining | None = None
    quality: Callable[[Int64Array], Scalars] | None = None
    profile: Profile | None = None

    def __post_init__(self) -> None:
        self.encode = self.runtime.encoder(self.encoder)

    def epoch(self, position: EpochPosition) -> Epoch:
        """Run one epoch.

        Raises:
            UserError: If images do not decode, clustering collapses, the loss is not finite, or no
                image gets a view in a stage that generates views.
        """
        stage = position.stage
        record: Record = {"stage": stage.name}
        if self.ema_encoder is not None and IDENTITY not in stage.trains and position.epoch == 0:
            self.ema_encoder.reset(self.encoder)
        if self._uses_views(stage):
            record["without_views"] = int((~self._has_views()).sum())
        bank = None
        if POSE in stage.trains:
            losses = self._pretrain(position)
        elif IDENTITY not in stage.trains:
            batches = self._generator_batches(position)
            losses = self._run_steps(position, self.loader, batches, self._step(position, None))
        else:
            labels, bank = self._label(position, record)
            batches = stage.sampler.clustered_batches(
                labels, stage.iterations, self._sampling_rng(position)
            )
            step = self._step(position, stage.contrast(bank))
            losses = self._run_steps(position, stage.sampler.loader, batches, step)
        return Epoch({**record, **losses, **self.runtime.peak_memory()}, bank)

    def _label(self, position: EpochPosition, record: Record) -> tuple[Int64Array, MemoryBank]:
        """Labels [N] and the memory bank of an epoch; adds their metrics to ``record``."""
        stage = position.stage
        start = time.perf_counter()
        features = self._extract(stage.sampler.loader, position)
        extracted = time.perf_counter()
        record["seconds_extract"] = extracted - start
        labels = stage.labels
        if labels is None:
            clusters = self._cluster(features, stage)
            labels = clusters.labels
            record |= {**clusters.summary(), **(self.quality(labels) if self.quality else {})}
            record["seconds_cluster"] = time.perf_counter() - extracted
        record["learning_rate"] = stage.schedule.rate(position.epoch)
        device = self.runtime.device
        tensors = (torch.from_numpy(array).to(device) for array in (features, labels))
        camids = None if stage.camids is None else torch.from_numpy(stage.camids).to(device)
        return labels, self.fill_bank(*tensors, camids=camids)

    def _extract(self, loader: ImageLoader, position: EpochPosition) -> Float32Array:
        """Features of all images, [N, D]; the processes share the work."""
        shards = np.array_split(np.arange(len(loader.images)), self.runtime.processes)
        shard = loader.subset(shards[self.runtime.rank])
        title, batch = f"epoch {position.number}: extract", self.extract_batch
        with self.progress.task(title, len(shard.images)) as advance:
            extracted = extract_features(self.encode, shard, batch=batch, advance=advance)
        parts = self.runtime.gather_objects(extracted)
        failures = [failure for part in parts for failure in part.failures]
        if failures:
            raise unreadable_error(failures)
        return np.concatenate([part.features for part in parts])

    def _cluster(self, features: Float32Array, stage: Stage) -> PseudoLabels:
        """Cluster in the main process, so that all processes get the same labels."""

        def cluster() -> PseudoLabels:
            clusters = stage.cluster(features)
            check_clusters(clusters, len(features))
            return clusters

        return self.runtime.on_main(cluster)

    def _generator_batches(self, position: EpochPosition) -> Iterator[Int64Array]:
        """Batches of images that can get views, for a stage that trains the generator alone."""
        rows = np.flatnonzero(self._has_views())
        return shuffled_batches(
            rows,
            batch=self.generator_batch,
            iterations=position.stage.iterations
            or steps_per_epoch(len(rows), self.generator_batch),
            rng=self._sampling_rng(position),
        )

    def _sampling_rng(self, position: EpochPosition) -> np.random.Generator:
        """Random generator that samples an epoch's batches, equal in all processes."""
        return seeded_rng(self.seed, position.total)

    def _augmentation_rng(self, position: EpochPosition) -> np.random.Generator:
        """Random generator that augments an epoch's images, another one in each process."""
        return seeded_rng(self.seed, position.total, self.runtime.rank, 1)

    def _pretrain(self, position: EpochPosition) -> Record:
        """Run an epoch of pose pre-training."""
        assert self.pretraining is not None
        pretraining = self.pretraining
        trainable = list(self._set_trainable(position).values())
        batches = pretraining.batches(position.stage.iterations, self._sampling_rng(position))
        rng = self._augmentation_rng(position)
        step = pretraining.step(self.encoder, trainable, self.runtime, rng)
        return self._run_steps(position, pretraining.sampler.loader, batches, step)

    def _step(self, position: EpochPosition, contrast: ContrastTerms | None) -> StepFn:
        """Training step on decoded batches, of every stage but pose pre-training."""
        stage = position.stage
        step = TrainingStep(
            encoder=self.encoder,
            trainable=self._set_trainable(position),
            generator=self.generator,
            contrast=contrast,
            weights=stage.weights,
            runtime=self.runtime,
            real_statistics=self.real_statistics,
            ema_encoder=self.ema_encoder if IDENTITY in stage.trains else None,
        )
        rng = self._augmentation_rng(position)

        def step_on(decoded: DecodedBatch, number: int, rows: Int64Array) -> Terms:
            weak = stage.weights["weak_view"] > 0
            batch = prepare(decoded, stage.augmentation, rng, self.runtime.device, weak, rows)
            return step(batch, number)

        return step_on

    def _run_steps(
        self,
        position: EpochPosition,
        loader: ImageLoader,
        batches: Iterable[Int64Array],
        step: StepFn,
    ) -> Record:
        """Take a step on each batch of rows; returns the mean of every loss term, and the speed."""
        start, images, views = time.perf_counter(), 0, 0
        batches = [rows_of_processes(rows, self.runtime.processes) for rows in batches]
        losses = LossLog(position, self.runtime)
        own_rows = (rows[self.runtime.rank] for rows in batches)
        decoded_batches = loader.read(own_rows, self._make_conditions(position))
        with self.progress.task(f"epoch {position.number}: train", len(batches)) as advance:
            steps: Iterator[Step] = zip(decoded_batches, batches, strict=True)
            if self.profile is not None:
                steps = self.profile.steps(position, steps, len(batches))
            for number, (decoded, rows) in enumerate(steps):
                losses.add(step(decoded, number, rows.flatten()))
                images += rows.size
                views += with_views(decoded)
                advance(1)
        means: Record = {f"loss_{name}": value for name, value in losses.means().items()}
        networks = (self.encoder, self.ema_encoder, *(t.network for t in self.trainable.values()))
        self.runtime.average_statistics(n for n in networks if n is not None)
        if self._uses_views(position.stage):
            check_views(sum(self.runtime.gather_objects(views)), position)
        seconds = time.perf_counter() - start
        return {**means, "seconds_train": seconds, "images_per_second": images / seconds}

    def preview(self, stage: Stage) -> Uint8Array | None:
        """Generate a sheet of views, [h, w, 3]; None if the stage has no views."""
        if self.generator is None or not self._uses_views(stage):
            return None
        encoder = self.encoder if self.ema_encoder is None else self.ema_encoder.encoder
        return views_sheet(self.generator, encoder, self.loader, self.runtime)

    def _uses_views(self, stage: Stage) -> bool:
        return self.generator is not None and (stage.views or GENERATOR in stage.trains)

    def _has_views(self) -> NDArray[np.bool_]:
        """Whether each training image can get views, [N]."""
        assert self.generator is not None
        return self.generator.usable(self.loader.images)

    def _set_trainable(self, position: EpochPosition) -> dict[str, TrainableNetwork]:
        """Unfreeze the stage's networks and set their learning rates; freeze all others."""
        stage = position.stage
        networks = {IDENTITY: self.identity[stage.optimizer], **self.trainable}
        names = {*stage.trains, *(TRAINED_WITH[n] for n in stage.trains if n in TRAINED_WITH)}
        for name, network in networks.items():
            network.requires_grad_(name in names)
            for group in network.optimizer.param_groups:
                if name in (IDENTITY, POSE):
                    group["weight_decay"] = stage.weight_decay
                    group["lr"] = stage.schedule.rate(position.epoch)
                else:
                    group["lr"] = stage.generator_learning_rate
        self.encoder.train(IDENTITY in names)
        return {name: network for name, network in networks.items() if name in names}

    def _make_conditions(self, position: EpochPosition) -> MakeConditions | None:
        """Condition maker of the generator; its randomness depends on the batch's number alone."""
        generator = self.generator
        if generator is None or not self._uses_views(position.stage):
            return None

        def make_conditions(
            images: Sequence[Image], pixels: Uint8Array, number: int
        ) -> ConditionInputs:
            seed = [self.seed, position.total, self.runtime.rank, 2, number]
            return generator.make_conditions(images, pixels, np.random.default_rng(seed))

        return make_conditions

"""From the settings of a run to its trainer, its evaluator and its checkpoint card."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from reid_gen.builders.encoder import (
    build_ema_encoder,
    build_encoder,
    build_optimizers,
    encoder_card,
)
from reid_gen.builders.fingerprint import fingerprint, run_facts
from reid_gen.builders.generator import build_generator
from reid_gen.builders.loaders import MakeLoader, cached_loaders, loaders
from reid_gen.builders.pose_pretraining import build_pretraining
from reid_gen.builders.processes import settings_of_process
from reid_gen.builders.stages import build_stages
from reid_gen.builders.warm_start import WarmStart
from reid_gen.config import generators, schema
from reid_gen.data.datasets import labelled_splits, load_dataset, training_images
from reid_gen.evaluation.clustering_metrics import clustering_quality
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.backbone import RGB
from reid_gen.models.encoder import IdentityEncoder
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.progress import Progress
from reid_gen.training.experiment import Experiment
from reid_gen.training.pose_step import POSE
from reid_gen.training.trainer import Trainer
from reid_gen.types import Dataset


def build_experiment(config: schema.Config, progress: Progress) -> Experiment:
    """Build a run from its settings.

    Raises:
        UserError: If the data set, the weights or a setting do not fit.
    """
    runtime = Runtime(config.encoder.precision)
    if isinstance(config.generator, generators.BodyConditioned):
        runtime = Runtime(config.encoder.precision, config.generator.precision)
    dataset = load_dataset(config.data.name, config.data.root)
    training_images(dataset)
    torch.manual_seed(config.seed)
    start = WarmStart(config.start_from)
    encoder = build_encoder(config, start).to(runtime.device)
    make_loader = cached_loaders(config.data)
    parts = (dataset, make_loader, encoder, start, runtime)
    return Experiment(
        trainer=_build_trainer(config, *parts, progress=progress),
        card=encoder_card(config),
        evaluator=None
        if dataset.query is None
        else build_evaluator(config, dataset, progress, make_loader),
        evaluate_every=config.evaluation.every,
        about={
            "protocol": protocol(config, dataset, runtime.processes),
            "data": fingerprint(dataset),
            "generator": None if config.generator is None else config.generator.kind,
        },
        facts=run_facts(config, dataset, runtime),
    )


def _build_trainer(
    config: schema.Config,
    dataset: Dataset,
    make_loader: MakeLoader,
    encoder: IdentityEncoder,
    start: WarmStart,
    runtime: Runtime,
    *,
    progress: Progress,
) -> Trainer:
    generator, trainable = build_generator(
        settings_of_process(config, runtime.processes), encoder, dataset, runtime.device, start
    )
    fill: RGB = tuple(encoder.mean.flatten().tolist())
    pretraining = None
    if config.pose is not None:
        pretraining, heads = build_pretraining(config, config.pose, make_loader, encoder, fill)
        trainable = {**trainable, POSE: heads}
    gan = config.generator if isinstance(config.generator, generators.MeshGan) else None
    pids = dataset.train_pids
    return Trainer(
        encoder=encoder,
        identity=build_optimizers(config, encoder),
        trainable=trainable,
        generator=generator,
        generator_batch=_generator_batch(config),
        real_statistics=gan is None or gan.statistics == "real",
        ema_encoder=build_ema_encoder(config, encoder, start),
        loader=make_loader(dataset.train),
        stages=build_stages(config, dataset, make_loader, fill),
        fill_bank=partial(MemoryBank, **config.memory.model_dump()),
        seed=config.seed,
        extract_batch=config.evaluation.batch,
        runtime=runtime,
        progress=progress,
        pretraining=pretraining,
        quality=None if pids is None else partial(clustering_quality, pids=pids),
    )


def _generator_batch(config: schema.Config) -> int:
    """Images per step of a stage that trains the generator alone."""
    match config.generator:
        case None:
            return config.sampler.batch
        case generators.MeshGan(train_batch=int() as train_batch):
            return train_batch
        case settings:
            return settings.batch


def build_evaluator(
    config: schema.Config,
    dataset: Dataset,
    progress: Progress,
    make_loader: MakeLoader | None = None,
) -> Evaluator:
    """Build the evaluation of query against gallery at the configured image size.

    Args:
        config: Settings of the run.
        dataset: Data set with query and gallery.
        progress: Progress display.
        make_loader: Builds loaders; None decodes each image whenever it is evaluated.

    Raises:
        UserError: If the data set has no query and gallery.
    """
    query, gallery = labelled_splits(dataset)
    make_loader = make_loader or loaders(config.data)
    return Evaluator(
        query=query,
        gallery=gallery,
        make_loader=lambda split: make_loader(split.images),
        batch=config.evaluation.batch,
        flip=config.evaluation.flip,
        rerank=config.evaluation.rerank,
        progress=progress,
    )


def protocol(config: schema.Config, dataset: Dataset, processes: int) -> dict[str, Any]:
    """Describe the protocol of a run, so that its results can be compared with others."""
    batch = config.sampler.batch // processes
    uses_cameras = {
        "sampler": [(stage.sampler or config.sampler).camera_aware for stage in config.stages],
        "clustering": [(s.clustering or config.clustering).camera_norm for s in config.stages],
        "loss": [(s.loss or config.loss).weights.camera_proxy > 0 for s in config.stages],
    }
    cameras = ", ".join(part for part, used in uses_cameras.items() if any(used))
    return {
        "labels_used": "none" if config.source is None else f"of {config.source.name} (source)",
        "camera_ids_used": cameras or "none in training",
        "selection": "last epoch",
        "input": f"{config.data.height} x {config.data.width}",
        "start_weights": str(config.start_from or config.encoder.weights or "random"),
        "batch_norm_batch": min(config.encoder.ghost_batch or batch, batch),
        "seed": config.seed,
        "notes": list(dataset.notes),
    }

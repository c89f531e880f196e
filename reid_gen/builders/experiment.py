"""From settings to an experiment; with build_parts the only file of the engine to know them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from typing_extensions import assert_never

from reid_gen.builders import pose_pretraining as build_pose
from reid_gen.builders.fingerprint import fingerprint, run_facts
from reid_gen.builders.generator import build_ema_encoder, build_generator, build_identity
from reid_gen.cluster.pseudo_labels import EpsRule, FixedEps, PseudoLabels, ShareEps, pseudo_labels
from reid_gen.config import generators, schema
from reid_gen.data.batch_sampler import Pool
from reid_gen.data.datasets import labelled_splits, load_dataset, training_images
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import Augmentation
from reid_gen.errors import UserError
from reid_gen.evaluation.clustering_metrics import clustering_quality
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.backbone import Colour
from reid_gen.models.checkpoint import load_encoder_for
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.runtime.devices import Runtime
from reid_gen.runtime.progress import Progress
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.experiment import Experiment
from reid_gen.training.pose_step import POSE
from reid_gen.training.recipe import StageRecipe
from reid_gen.training.stages import Stage
from reid_gen.training.trainer import Trainer
from reid_gen.types import Dataset, Float32Array, Image, Int64Array, LabelledSplit


def build_experiment(config: schema.Config, progress: Progress) -> Experiment:
    """Build a run from its settings.

    Raises:
        UserError: If the data set, the weights or a setting do not fit.
    """
    runtime = Runtime(config.encoder.precision)
    if isinstance(config.generator, generators.Drawn):
        runtime = Runtime(config.encoder.precision, config.generator.precision)
    dataset = load_dataset(config.data.name, config.data.root)
    training_images(dataset)
    torch.manual_seed(config.seed)
    card = encoder_card(config)
    encoder = create_encoder(card, config.encoder.weights, config.encoder.ghost_batch)
    if config.start_from is not None:
        way_out = "give data and encoder those values, or start from another run"
        start = load_encoder_for(card, config.start_from, way_out)
        encoder.load_state_dict(start.state_dict())
    return Experiment(
        trainer=_trainer(config, dataset, encoder.to(runtime.device), runtime, progress),
        card=card,
        evaluator=None if dataset.query is None else build_evaluator(config, dataset, progress),
        evaluate_every=config.evaluation.every,
        about={
            "protocol": protocol(config, dataset),
            "data": fingerprint(dataset),
            "generator": None if config.generator is None else config.generator.kind,
        },
        facts=run_facts(config, dataset, runtime),
    )


def encoder_card(config: schema.Config) -> EncoderCard:
    """The card of the configured encoder."""
    return EncoderCard(
        backbone=config.encoder.backbone,
        pooling=config.encoder.pooling,
        height=config.data.height,
        width=config.data.width,
        last_stride=config.encoder.last_stride,
        embedding=config.encoder.embedding,
        pose_token=config.encoder.pose_token,
    )


def build_evaluator(config: schema.Config, dataset: Dataset, progress: Progress) -> Evaluator:
    """Query against gallery at the configured size.

    Raises:
        UserError: If the data set has no query and gallery.
    """
    query, gallery = labelled_splits(dataset)

    def make_loader(split: LabelledSplit) -> ImageLoader:
        return _loader(config.data, split.images)

    return Evaluator(
        query=query,
        gallery=gallery,
        make_loader=make_loader,
        batch=config.evaluation.batch,
        flip=config.evaluation.flip,
        reranked=config.evaluation.rerank,
        progress=progress,
    )


def _loader(data: schema.Data, images: tuple[Image, ...]) -> ImageLoader:
    return ImageLoader(images, data.height, data.width, data.workers)


def _trainer(
    config: schema.Config,
    dataset: Dataset,
    encoder: IdentityEncoder,
    runtime: Runtime,
    progress: Progress,
) -> Trainer:
    generator, trainable = build_generator(config, encoder, dataset, runtime.device)
    pids = dataset.train_pids
    fill: Colour = tuple(encoder.mean.flatten().tolist())
    settings = config.generator
    gan = settings if isinstance(settings, generators.MeshGan) else None
    pretraining = None
    if config.pose is not None:
        pretraining, learner = build_pose.build_pretraining(config, config.pose, encoder, fill)
        trainable = {**trainable, POSE: learner}
    return Trainer(
        encoder=encoder,
        identity=build_identity(config, encoder),
        trainable=trainable,
        generator=generator,
        generator_batch=_generator_batch(config),
        real_statistics=gan is None or gan.statistics == "real",
        mean=build_ema_encoder(config, encoder),
        loader=_loader(config.data, dataset.train),
        recipes=_recipes(config, dataset, fill),
        stages=tuple(
            Stage(**{field.name: getattr(stage, field.name) for field in fields(Stage)})
            for stage in config.stages
        ),
        fill_bank=partial(MemoryBank, **config.memory.model_dump()),
        seed=config.seed,
        extract_batch=config.evaluation.batch,
        runtime=runtime,
        progress=progress,
        pretraining=pretraining,
        quality=None if pids is None else partial(clustering_quality, pids=pids),
    )


def _generator_batch(config: schema.Config) -> int:
    """Images per step of a generator that learns alone."""
    match config.generator:
        case None:
            return config.sampler.batch
        case generators.MeshGan(train_batch=int() as train_batch):
            return train_batch
        case settings:
            return settings.batch


def _recipes(config: schema.Config, dataset: Dataset, fill: Colour) -> tuple[StageRecipe, ...]:
    """What each stage learns from: its own settings, or else the run's."""
    source = None if config.source is None else _source(config.source)
    return tuple(
        _recipe(config, stage, source if stage.labels == "source" else dataset, fill)
        for stage in config.stages
    )


def _recipe(
    config: schema.Config, stage: schema.Stage, dataset: Dataset | None, fill: Colour
) -> StageRecipe:
    assert dataset is not None
    sampler, loss = stage.sampler or config.sampler, stage.loss or config.loss
    drawn: dict[str, float] = {}
    if isinstance(config.generator, generators.MeshGan | generators.PixelDiffusion):
        drawn = config.generator.weights.model_dump()
    labels = None
    if stage.labels == "source" and dataset.train_pids is not None:
        labels = np.unique(dataset.train_pids, return_inverse=True)[1].astype(np.int64)
    return StageRecipe(
        pool=Pool(
            loader=_loader(config.data, dataset.train),
            batch=sampler.batch,
            instances=sampler.instances,
            camids=_camids(dataset, "sampler.camera_aware") if sampler.camera_aware else None,
        ),
        labels=labels,
        optimizer=stage.optimizer,
        augmentation=_augmentation(config, stage, fill),
        cluster=_cluster(stage.clustering or config.clustering, dataset),
        contrast=partial(
            ContrastTerms,
            temperature=loss.temperature,
            weights=loss.weights.model_dump(),
            pairs=Pairs(**loss.pairs.model_dump()),
            proxy_negatives=loss.proxy_negatives,
        ),
        weights={**loss.weights.model_dump(), **drawn},
        camids=_camids(dataset, "loss.weights.camera_proxy", "0")
        if loss.weights.camera_proxy > 0
        else None,
    )


def _augmentation(config: schema.Config, stage: schema.Stage, fill: Colour) -> Augmentation:
    settings = stage.augment or config.augment
    if "identity" not in stage.trains:  # a generator draws whole images, so it learns from those
        return Augmentation(settings.flip, pad=0, erase=0.0, fill=fill)
    return Augmentation(settings.flip, settings.pad, settings.erase, fill)


def _source(settings: schema.Source) -> Dataset:
    """The source data set, whose labels may be read."""
    dataset = load_dataset(settings.name, settings.root)
    training_images(dataset)
    assert dataset.train_pids is not None
    return dataset


def _cluster(
    settings: schema.Clustering, dataset: Dataset
) -> Callable[[Float32Array], PseudoLabels]:
    return partial(
        pseudo_labels,
        eps=None if settings.algorithm == "hdbscan" else _eps(settings.eps),
        k1=settings.k1,
        k1_counts_self=settings.k1_counts_self,
        k2=settings.k2,
        min_samples=settings.min_samples,
        neighbours=settings.neighbours,
        algorithm=settings.algorithm,
        camids=_camids(dataset, "clustering.camera_norm") if settings.camera_norm else None,
    )


def _eps(rule: schema.FixedEps | schema.ShareEps) -> EpsRule:
    match rule:
        case schema.FixedEps():
            return FixedEps(rule.value)
        case schema.ShareEps():
            return ShareEps(rule.share, rule.copies)
        case _:
            assert_never(rule)


def _camids(dataset: Dataset, setting: str, off: str = "false") -> Int64Array:
    camids = [image.camid for image in dataset.train]
    if None in camids:
        raise UserError(
            f"{setting} needs the camera of every image, and {dataset.root} does not give it; "
            f"set {setting} to {off}"
        )
    return np.array(camids, dtype=np.int64)


def protocol(config: schema.Config, dataset: Dataset) -> dict[str, Any]:
    """What a reader must know to compare the run's numbers."""
    uses = {
        "sampler": [(stage.sampler or config.sampler).camera_aware for stage in config.stages],
        "clustering": [(s.clustering or config.clustering).camera_norm for s in config.stages],
        "loss": [(s.loss or config.loss).weights.camera_proxy > 0 for s in config.stages],
    }
    cameras = ", ".join(name for name, used in uses.items() if any(used))
    return {
        "labels_used": "none" if config.source is None else f"of {config.source.name} (source)",
        "camera_ids_used": cameras or "none in training",
        "selection": "last epoch",
        "input": f"{config.data.height} x {config.data.width}",
        "start_weights": str(config.start_from or config.encoder.weights or "random"),
        "batch_norm_batch": config.encoder.ghost_batch or config.sampler.batch,
        "seed": config.seed,
        "notes": list(dataset.notes),
    }

"""From settings to an experiment; with build_parts the only file of the engine to know them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from typing_extensions import assert_never

from reid_gen.cluster.assign import EpsRule, FixedEps, PseudoLabels, ShareEps, pseudo_labels
from reid_gen.config import schema
from reid_gen.data.datasets import load_dataset
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.transforms import Augmentation
from reid_gen.engine.build_parts import build_generator, build_learners
from reid_gen.engine.checkpoint import load_encoder_for
from reid_gen.engine.contrast import ContrastTerms, Pairs
from reid_gen.engine.evaluate import Evaluator, labelled_splits
from reid_gen.engine.loop import Trainer
from reid_gen.engine.pools import Pool
from reid_gen.engine.progress import Progress
from reid_gen.engine.runtime import Runtime
from reid_gen.engine.stages import Stage
from reid_gen.errors import UserError
from reid_gen.evaluation.quality import clustering_quality
from reid_gen.memory.bank import MemoryBank
from reid_gen.models.encoder import EncoderCard, IdentityEncoder, create_encoder
from reid_gen.types import Dataset, Floats, Image, Ints, LabelledSplit


@dataclass(frozen=True)
class Experiment:
    """All that a run needs.

    Attributes:
        trainer: The training loop.
        card: What the encoder's weights belong to.
        evaluator: Query against gallery; None for an unlabelled folder.
        evaluate_every: Epochs between evaluations; None measures only before and after.
        about: Facts of the run for its card.
    """

    trainer: Trainer
    card: EncoderCard
    evaluator: Evaluator | None
    evaluate_every: int | None
    about: dict[str, Any]


def build_experiment(config: schema.Config, progress: Progress) -> Experiment:
    """Build a run from its settings.

    Raises:
        UserError: If the data set, the weights or a setting do not fit.
    """
    runtime = Runtime(config.encoder.precision)
    dataset = load_dataset(config.data.name, config.data.root)
    torch.manual_seed(config.seed)
    card = encoder_card(config)
    encoder = create_encoder(card, config.encoder.weights, config.encoder.ghost_batch)
    if config.start_from is not None:
        encoder.load_state_dict(load_encoder_for(card, config.start_from).state_dict())
    return Experiment(
        trainer=_trainer(config, dataset, encoder.to(runtime.device), runtime, progress),
        card=card,
        evaluator=None if dataset.query is None else build_evaluator(config, dataset, progress),
        evaluate_every=config.evaluation.every,
        about={"protocol": protocol(config, dataset), "data": fingerprint(dataset)},
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
    generator = build_generator(config, encoder, dataset, runtime.device)
    pids = dataset.train_pids
    pool = _pool(config, dataset)
    gan = {} if config.generator is None else config.generator.weights.model_dump()
    return Trainer(
        encoder=encoder,
        learners=build_learners(config, encoder, generator),
        generator=generator,
        generator_batch=pool.batch if config.generator is None else config.generator.batch,
        pool=pool,
        source=_source(config),
        augmentation=Augmentation(
            flip=config.augment.flip,
            pad=config.augment.pad,
            erase=config.augment.erase,
            fill=tuple(encoder.mean.flatten().tolist()),
        ),
        cluster=_cluster(config.clustering),
        fill_bank=partial(MemoryBank, **config.memory.model_dump()),
        contrast=partial(
            ContrastTerms,
            temperature=config.loss.temperature,
            weights=config.loss.weights.model_dump(),
            pairs=Pairs(**config.loss.pairs.model_dump()),
        ),
        weights={**config.loss.weights.model_dump(), **gan},
        stages=tuple(Stage(**stage.model_dump()) for stage in config.stages),
        seed=config.seed,
        extract_batch=config.evaluation.batch,
        runtime=runtime,
        progress=progress,
        quality=None if pids is None else partial(clustering_quality, pids=pids),
    )


def _pool(config: schema.Config, dataset: Dataset) -> Pool:
    return Pool(
        loader=_loader(config.data, dataset.train),
        batch=config.sampler.batch,
        instances=config.sampler.instances,
        camids=_camids(dataset) if config.sampler.camera_aware else None,
    )


def _source(config: schema.Config) -> tuple[Pool, Ints] | None:
    """Images of the source data set with their pids, numbered from 0."""
    if config.source is None:
        return None
    dataset = load_dataset(config.source.name, config.source.root)
    assert dataset.train_pids is not None
    return _pool(config, dataset), np.unique(dataset.train_pids, return_inverse=True)[1]


def _cluster(settings: schema.Clustering) -> Callable[[Floats], PseudoLabels]:
    return partial(
        pseudo_labels,
        eps=_eps(settings.eps),
        k1=settings.k1,
        k1_counts_self=settings.k1_counts_self,
        k2=settings.k2,
        min_samples=settings.min_samples,
    )


def _eps(rule: schema.FixedEps | schema.ShareEps) -> EpsRule:
    match rule:
        case schema.FixedEps():
            return FixedEps(rule.value)
        case schema.ShareEps():
            return ShareEps(rule.share)
        case _:
            assert_never(rule)


def _camids(dataset: Dataset) -> Ints:
    camids = [image.camid for image in dataset.train]
    if None in camids:
        raise UserError(
            f"sampler.camera_aware needs the camera of every image, and {dataset.root} does not "
            "give it; set sampler.camera_aware to false"
        )
    return np.array(camids, dtype=np.int64)


def protocol(config: schema.Config, dataset: Dataset) -> dict[str, Any]:
    """What a reader must know to compare the run's numbers."""
    return {
        "labels_used": "none" if config.source is None else f"of {config.source.name} (source)",
        "camera_ids_used": "sampler" if config.sampler.camera_aware else "none in training",
        "selection": "last epoch",
        "input": f"{config.data.height} x {config.data.width}",
        "start_weights": str(config.start_from or config.encoder.weights or "random"),
        "batch_norm_batch": config.encoder.ghost_batch or config.sampler.batch,
        "seed": config.seed,
        "notes": list(dataset.notes),
    }


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Name, number of training images, and a hash over their keys and file sizes."""
    digest = hashlib.sha256()
    for image in dataset.train:
        digest.update(f"{image.key}\0{image.path.stat().st_size}\n".encode())
    return {"name": dataset.name, "train": len(dataset.train), "sha256": digest.hexdigest()}

"""From settings to the stages of a run: each has its own settings or else the run's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from typing_extensions import assert_never

from reid_gen.builders.loaders import MakeLoader
from reid_gen.cluster.pseudo_labels import EpsRule, FixedEps, PseudoLabels, ShareEps, pseudo_labels
from reid_gen.config import clustering, generators, schema, stages
from reid_gen.data.batch_sampler import BatchSampler
from reid_gen.data.datasets import load_dataset, training_images
from reid_gen.data.transforms import Augmentation
from reid_gen.errors import UserError
from reid_gen.models.backbone import RGB
from reid_gen.training.contrastive_terms import ContrastTerms, Pairs
from reid_gen.training.stages import Schedule, Stage
from reid_gen.types import Dataset, Float32Array, Int64Array


def build_stages(
    config: schema.Config, dataset: Dataset, make_loader: MakeLoader, fill: RGB
) -> tuple[Stage, ...]:
    """Build the stages of a run.

    Args:
        config: Settings of the run.
        dataset: Target data set.
        make_loader: Builds loaders.
        fill: Colour of erased and padded pixels, in 0..1.

    Raises:
        UserError: If the source data set has no training images, or a setting needs cameras and
            they are unknown.
    """
    datasets: dict[str, Dataset] = {"clusters": dataset}
    if config.source is not None:
        datasets["source"] = _load_source(config.source)
    return tuple(
        _stage(config, stage, datasets[stage.labels], make_loader, fill) for stage in config.stages
    )


def _stage(
    config: schema.Config,
    stage: stages.Stage,
    dataset: Dataset,
    make_loader: MakeLoader,
    fill: RGB,
) -> Stage:
    sampler, loss = stage.sampler or config.sampler, stage.loss or config.loss
    labels = None
    if stage.labels == "source" and dataset.train_pids is not None:
        labels = np.unique(dataset.train_pids, return_inverse=True)[1].astype(np.int64)
    generator_weights: dict[str, float] = {}
    if isinstance(config.generator, generators.MeshGan | generators.PixelDiffusion):
        generator_weights = config.generator.weights.model_dump()
    return Stage(
        name=stage.name,
        epochs=stage.epochs,
        iterations=stage.iterations,
        trains=stage.trains,
        views=stage.views,
        schedule=Schedule(stage.learning_rate, stage.warmup_epochs, stage.decay_every),
        weight_decay=stage.weight_decay,
        generator_learning_rate=stage.generator_learning_rate,
        optimizer=stage.optimizer,
        sampler=BatchSampler(
            loader=make_loader(dataset.train),
            batch=sampler.batch,
            instances=sampler.instances,
            camids=_camids(dataset, "sampler.camera_aware") if sampler.camera_aware else None,
        ),
        labels=labels,
        augmentation=_augmentation(config, stage, fill),
        cluster=_clustering(stage.clustering or config.clustering, dataset),
        contrast=partial(
            ContrastTerms,
            temperature=loss.temperature,
            weights=loss.weights.model_dump(),
            pairs=Pairs(**loss.pairs.model_dump()),
            proxy_negatives=loss.proxy_negatives,
        ),
        weights={**loss.weights.model_dump(), **generator_weights},
        camids=_camids(dataset, "loss.weights.camera_proxy", "0")
        if loss.weights.camera_proxy > 0
        else None,
    )


def _augmentation(config: schema.Config, stage: stages.Stage, fill: RGB) -> Augmentation:
    settings = stage.augment or config.augment
    if "identity" not in stage.trains:  # a generator would reproduce padding and erasing
        return Augmentation(settings.flip, pad=0, erase=0.0, fill=fill)
    return Augmentation(settings.flip, settings.pad, settings.erase, fill)


def _load_source(settings: stages.Source) -> Dataset:
    """Load the source data set, whose labels may be used."""
    dataset = load_dataset(settings.name, settings.root)
    training_images(dataset)
    assert dataset.train_pids is not None
    return dataset


def _clustering(
    settings: clustering.Clustering, dataset: Dataset
) -> Callable[[Float32Array], PseudoLabels]:
    return partial(
        pseudo_labels,
        eps=None if settings.eps is None else _eps(settings.eps),
        k1=settings.k1,
        k1_counts_self=settings.k1_counts_self,
        k2=settings.k2,
        min_samples=settings.min_samples,
        neighbours=settings.neighbours,
        algorithm=settings.algorithm,
        camids=_camids(dataset, "clustering.camera_norm") if settings.camera_norm else None,
    )


def _eps(rule: clustering.FixedEps | clustering.ShareEps) -> EpsRule:
    match rule:
        case clustering.FixedEps():
            return FixedEps(rule.value)
        case clustering.ShareEps():
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

"""Checks across sections: settings that require each other, and stages that would train nothing.

Each check yields a message per contradiction: the setting, what is wrong, and how to fix it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reid_gen.config.generators import BodyConditioned, MeshGan, PixelDiffusion, Stored

if TYPE_CHECKING:
    from reid_gen.config.schema import Config
    from reid_gen.config.stages import Loss, Stage

IMAGE_TERMS = ("prototype", "hard_prototype", "weak_view", "camera_proxy", "instance")
"""Contrastive terms on real images only; all other terms need views."""
GAN_LOSS_TERMS = ("image", "cycle", "feature", "adversarial")
"""Loss terms of the GAN's generator, without those of its discriminator."""


def contradictions(config: Config) -> Iterator[str]:
    """Yield a message for every contradiction in a configuration."""
    for check in (
        _check_generator_exists,
        _check_generator_used,
        _check_generator_trained,
        _check_rasteriser_used,
        _check_stage_losses,
        _check_mixup,
        _check_pose_stages,
        _check_source_used,
    ):
        yield from check(config)


def _loss(config: Config, stage: Stage) -> Loss:
    return stage.loss or config.loss


def _contrasts_views(stage: Stage) -> bool:
    return "identity" in stage.trains and (stage.views or "generator" in stage.trains)


def _view_terms(loss: Loss, other_terms: tuple[str, ...] = IMAGE_TERMS) -> list[str]:
    """List the terms with a weight above 0 that contrast views: all but ``other_terms``."""
    weights = loss.weights.model_dump()
    return [name for name, weight in weights.items() if weight > 0 and name not in other_terms]


def _check_generator_exists(config: Config) -> Iterator[str]:
    if config.generator is not None:
        return
    for loss in (config.loss, *(stage.loss for stage in config.stages if stage.loss)):
        if terms := _view_terms(loss):
            yield f"loss.weights.{terms[0]} needs a generator section"
            return
    if any(stage.views or "generator" in stage.trains for stage in config.stages):
        yield "a stage with views: true or trains: [generator] needs a generator section"


def _check_generator_used(config: Config) -> Iterator[str]:
    if config.generator is None:
        return
    if not any(stage.views or "generator" in stage.trains for stage in config.stages):
        yield (
            "no stage uses the generator section; add views: true or trains: [generator] to a "
            "stage, or remove the section (generator: null)"
        )
    match config.generator:
        case MeshGan(train_batch=int() as train_batch, batch=batch) if train_batch > batch:
            yield (
                f"generator.train_batch {train_batch} must be at most generator.batch {batch}, the "
                "images of a step that get views"
            )


def _check_generator_trained(config: Config) -> Iterator[str]:
    """Check that views never come from an untrained generator."""
    settings = config.generator
    if settings is None:
        return
    trains_generator = ["generator" in stage.trains for stage in config.stages]
    if isinstance(settings, Stored):
        if any(trains_generator):
            yield "stored views are not trained; give the stage views: true instead"
        return
    for stage, trains in zip(config.stages, trains_generator, strict=True):
        if stage.views and trains:
            yield (
                f"stage {stage.name}: views: true is for a generator that is frozen in the stage, "
                "but trains lists it; remove views"
            )
    untrained = views_before_training(config.stages)
    if untrained is not None and config.start_from is None:
        yield (
            f"stage {untrained.name} would contrast views of a generator that no earlier stage "
            "trains; train it first, or set start_from to a run that did"
        )
    if any(trains_generator):
        yield from _check_generator_losses(settings)


def _check_rasteriser_used(config: Config) -> Iterator[str]:
    if config.body.rasteriser != "numba" and not isinstance(config.generator, BodyConditioned):
        yield "body.rasteriser has no effect without a generator that renders bodies; leave it out"


def views_before_training(stages: Sequence[Stage]) -> Stage | None:
    """Return the first stage with views if no earlier stage trains the generator, or None."""
    for stage in stages:
        if "generator" in stage.trains:
            return None
        if stage.views:
            return stage
    return None


def _check_generator_losses(settings: BodyConditioned) -> Iterator[str]:
    if isinstance(settings, MeshGan):
        weights = settings.weights
        if not any(getattr(weights, name) for name in GAN_LOSS_TERMS):
            yield (
                "the generator would not be trained: set one of generator.weights "
                f"{', '.join(GAN_LOSS_TERMS)} above 0"
            )
        if weights.adversarial and not (weights.fake or weights.real):
            yield (
                "the discriminator would not be trained: set generator.weights.fake and real above "
                "0, or adversarial to 0"
            )
    if isinstance(settings, PixelDiffusion) and not settings.weights.noise:
        yield "the generator would not be trained: set generator.weights.noise above 0"


def _check_stage_losses(config: Config) -> Iterator[str]:
    for stage in config.stages:
        if "identity" not in stage.trains:
            continue
        loss = _loss(config, stage)
        with_views = config.generator is not None and _contrasts_views(stage)
        # A frozen generator makes no mixup images.
        other_terms = (*IMAGE_TERMS, "mixup") if stage.views else IMAGE_TERMS
        terms = _view_terms(loss, other_terms) if with_views else []
        if with_views and not terms:
            yield (
                f"stage {stage.name} generates views, but the weight of every view term is 0; set "
                "loss.weights.view_prototype above 0, or train the generator in a stage of its own"
            )
        elif not terms and not any(getattr(loss.weights, name) for name in IMAGE_TERMS):
            yield (
                f"stage {stage.name}: the encoder would not be trained, because the weight of "
                "every applicable term is 0; set loss.weights.prototype above 0"
            )


def _check_mixup(config: Config) -> Iterator[str]:
    has_mixup = isinstance(config.generator, MeshGan) and config.generator.mixup_alpha is not None
    if config.generator is None or has_mixup:
        return
    if any(_loss(config, stage).weights.mixup > 0 for stage in config.stages):
        yield "loss.weights.mixup needs generator.mixup_alpha, such as 0.6"


def _check_pose_stages(config: Config) -> Iterator[str]:
    stages = [stage for stage in config.stages if "pose" in stage.trains]
    if any(len(stage.trains) > 1 or stage.views for stage in stages):
        yield "a stage with trains: [pose] can train nothing else and have no views"
    if bool(stages) != (config.pose is not None):
        yield "a stage with trains: [pose] and a pose section need each other"


def _check_source_used(config: Config) -> Iterator[str]:
    source_stages = [stage for stage in config.stages if stage.labels == "source"]
    if config.source is None and source_stages:
        yield "a stage with labels: source needs a source section"
    if config.source is not None and not source_stages:
        yield (
            "no stage uses the source section; give a stage labels: source, or remove the section "
            "(source: null)"
        )
    for stage in source_stages:
        if "identity" not in stage.trains:
            yield f"stage {stage.name}: labels: source needs trains: [identity]"

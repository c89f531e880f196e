"""Rules over several sections: parts that need each other, and settings that would train nothing.

Each rule yields one message for each fault. A rule names the setting, what is wrong, and a way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reid_gen.config.generators import Drawn, MeshGan, PixelDiffusion, Stored

if TYPE_CHECKING:
    from reid_gen.config.schema import Config, Loss, Stage

IMAGE_TERMS = ("prototype", "hard_prototype", "weak_view", "camera_proxy", "instance")
"""Terms that contrast real images alone; all other terms need views."""
GAN_LOSS_TERMS = ("image", "cycle", "feature", "adversarial")


def contradictions(config: Config) -> Iterator[str]:
    """Every rule that a configuration breaks."""
    for rule in (
        _generator_is_there,
        _generator_is_used,
        _generator_is_trained,
        _bodies_are_drawn,
        _every_stage_learns,
        _mixup_fits,
        _pose_stands_alone,
        _source_is_used,
    ):
        yield from rule(config)


def _loss(config: Config, stage: Stage) -> Loss:
    return stage.loss or config.loss


def _learns_from_views(stage: Stage) -> bool:
    return "identity" in stage.trains and (stage.views or "generator" in stage.trains)


def _view_terms(loss: Loss, other_terms: tuple[str, ...] = IMAGE_TERMS) -> list[str]:
    """Names of the terms above 0 that contrast views, which are all but the other terms."""
    weights = loss.weights.model_dump()
    return [name for name, weight in weights.items() if weight > 0 and name not in other_terms]


def _generator_is_there(config: Config) -> Iterator[str]:
    if config.generator is not None:
        return
    for loss in (config.loss, *(stage.loss for stage in config.stages if stage.loss)):
        if terms := _view_terms(loss):
            yield f"loss.weights.{terms[0]} needs a generator section"
            return
    if any(stage.views or "generator" in stage.trains for stage in config.stages):
        yield "a stage with views or that trains the generator needs a generator section"


def _generator_is_used(config: Config) -> Iterator[str]:
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


def _generator_is_trained(config: Config) -> Iterator[str]:
    """A network that nobody trained draws noise."""
    settings = config.generator
    if settings is None:
        return
    training = ["generator" in stage.trains for stage in config.stages]
    if isinstance(settings, Stored):
        if any(training):
            yield "stored views are not trained; give stages views: true instead"
        return
    for stage, trains in zip(config.stages, training, strict=True):
        if stage.views and trains:
            yield (
                f"stage {stage.name}: views: true is for a generator that does not learn in the "
                "stage, and trains names it; remove views"
            )
    early = views_before_training(config.stages)
    if early is not None and config.start_from is None:
        yield (
            f"stage {early.name} would contrast views of a generator that no stage before has "
            "trained; train it first, or set start_from to a run that did"
        )
    if any(training):
        yield from _generator_learns(settings)


def _bodies_are_drawn(config: Config) -> Iterator[str]:
    if config.body.rasteriser != "numba" and not isinstance(config.generator, Drawn):
        yield "body.rasteriser needs a generator that draws bodies; leave it out"


def views_before_training(stages: Sequence[Stage]) -> Stage | None:
    """The first stage with views, if no stage before trains the generator."""
    for stage in stages:
        if "generator" in stage.trains:
            return None
        if stage.views:
            return stage
    return None


def _generator_learns(settings: Drawn) -> Iterator[str]:
    if isinstance(settings, MeshGan):
        weights = settings.weights
        if not any(getattr(weights, name) for name in GAN_LOSS_TERMS):
            yield (
                "the generator would learn nothing: set one of generator.weights "
                f"{', '.join(GAN_LOSS_TERMS)} above 0"
            )
        if weights.adversarial and not (weights.fake or weights.real):
            yield (
                "the discriminator would learn nothing: set generator.weights.fake and real above "
                "0, or adversarial to 0"
            )
    if isinstance(settings, PixelDiffusion) and not settings.weights.noise:
        yield "the generator would learn nothing: set generator.weights.noise above 0"


def _every_stage_learns(config: Config) -> Iterator[str]:
    for stage in config.stages:
        if "identity" not in stage.trains:
            continue
        loss = _loss(config, stage)
        with_views = config.generator is not None and _learns_from_views(stage)
        # People are mixed only where the generator learns.
        other_terms = (*IMAGE_TERMS, "mixup") if stage.views else IMAGE_TERMS
        terms = _view_terms(loss, other_terms) if with_views else []
        if with_views and not terms:
            yield (
                f"stage {stage.name} draws views, but the weight of every view term is 0; set "
                "loss.weights.view_prototype above 0, or train the generator in a stage of its own"
            )
        elif not terms and not any(getattr(loss.weights, name) for name in IMAGE_TERMS):
            yield (
                f"stage {stage.name}: the encoder would learn nothing, because the weight of every "
                "term that applies is 0; set loss.weights.prototype above 0"
            )


def _mixup_fits(config: Config) -> Iterator[str]:
    mixes = isinstance(config.generator, MeshGan) and config.generator.mixup_alpha is not None
    if config.generator is None or mixes:
        return
    if any(_loss(config, stage).weights.mixup > 0 for stage in config.stages):
        yield "loss.weights.mixup needs generator.mixup_alpha, such as 0.6"


def _pose_stands_alone(config: Config) -> Iterator[str]:
    stages = [stage for stage in config.stages if "pose" in stage.trains]
    if any(len(stage.trains) > 1 or stage.views for stage in stages):
        yield "a stage that trains pose trains nothing else and has no views"
    if bool(stages) != (config.pose is not None):
        yield "a stage that trains pose and a pose section need each other"


def _source_is_used(config: Config) -> Iterator[str]:
    learning = [stage for stage in config.stages if stage.labels == "source"]
    if config.source is None and learning:
        yield "a stage with labels: source needs a source section"
    if config.source is not None and not learning:
        yield (
            "no stage uses the source section; give a stage labels: source, or remove the section "
            "(source: null)"
        )
    for stage in learning:
        if "identity" not in stage.trains:
            yield f"stage {stage.name}: labels: source needs trains: [identity]"

"""Batches of a run in several processes: settings count the images of all of them."""

from __future__ import annotations

from collections.abc import Iterator

from reid_gen.config import schema
from reid_gen.data.sampling import MIN_BATCH
from reid_gen.errors import UserError


def settings_of_process(config: schema.Config, processes: int) -> schema.Config:
    """Return the settings with one process's share of the images that get views.

    Raises:
        UserError: If a batch cannot be divided equally, or a process would get fewer images than
            batch norm needs.
    """
    settings = config.generator
    for name, batch in _batches(config):
        if batch % processes or batch < MIN_BATCH * processes:
            raise UserError(
                f"{name} is {batch} and there are {processes} processes, which need equally many "
                f"images and at least {MIN_BATCH} each; give a multiple of {processes} from "
                f"{MIN_BATCH * processes} on, or start another number of processes"
            )
    if settings is None:
        return config
    share = {key: batch // processes for key, batch in _view_batches(config)}
    return config.model_copy(update={"generator": settings.model_copy(update=share)})


def _batches(config: schema.Config) -> Iterator[tuple[str, int]]:
    """Name and size of every batch that the run divides over processes."""
    for number, stage in enumerate(config.stages):
        if "identity" in stage.trains:
            prefix = "" if stage.sampler is None else f"stages.{number}."
            yield f"{prefix}sampler.batch", (stage.sampler or config.sampler).batch
    if config.pose is not None:
        yield "pose.batch", config.pose.batch
    for key, batch in _view_batches(config):
        yield f"generator.{key}", batch


def _view_batches(config: schema.Config) -> Iterator[tuple[str, int]]:
    for key in ("batch", "train_batch"):
        batch = getattr(config.generator, key, None)
        if batch is not None:
            yield key, batch

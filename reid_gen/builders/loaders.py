"""From settings to image loaders, and to the cache that the loaders of a run share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import psutil

from reid_gen.config import schema
from reid_gen.data.loaders import ImageLoader
from reid_gen.data.pixel_cache import PixelCache
from reid_gen.types import Image

MakeLoader = Callable[[Sequence[Image]], ImageLoader]
"""Builds a loader of images at the configured size."""
FREE_SHARE = 0.5
"""Share of the machine's free memory that ``data.cache: auto`` may take, over all processes."""


def loaders(settings: schema.Data) -> MakeLoader:
    """Return a function that builds loaders of images, which decode at every request."""
    return lambda images: ImageLoader(images, settings.height, settings.width, settings.workers)


def cached_loaders(settings: schema.Data) -> MakeLoader:
    """Return a function that builds loaders of images, which share one cache of decoded images."""
    if settings.cache is None:
        return loaders(settings)
    cache = PixelCache(settings.height, settings.width, _max_bytes(settings.cache))
    return lambda images: ImageLoader(
        images, settings.height, settings.width, settings.workers, cache
    )


def _max_bytes(size: float | str) -> int:
    """Largest size of this process's cache in bytes."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun and Accelerate
    if isinstance(size, str):
        return int(FREE_SHARE * psutil.virtual_memory().available / processes)
    return int(size * 2**30 / processes)

"""From settings to image loaders."""

from __future__ import annotations

from reid_gen.config import schema
from reid_gen.data.loaders import ImageLoader
from reid_gen.types import Image


def build_loader(settings: schema.Data, images: tuple[Image, ...]) -> ImageLoader:
    """Build a loader of images at the configured size."""
    return ImageLoader(images, settings.height, settings.width, settings.workers)

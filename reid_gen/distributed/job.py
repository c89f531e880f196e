"""Jobs: work on a list of images in blocks, each of which can be computed alone and repeatedly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reid_gen.distributed.blocks import FORMAT, Block
from reid_gen.types import Image


class Worker(Protocol):
    """Computes blocks with the model that it holds."""

    def __call__(self, number: int, images: Sequence[Image]) -> Block:
        """Compute block ``number`` of a job; the same arguments give the same rows.

        Raises:
            UserError: If the block cannot be computed.
        """


@dataclass(frozen=True)
class Job:
    """Work on a list of images.

    Attributes:
        command: Command of reid-gen that the job belongs to.
        images: All images, in input order.
        images_sha256: Digest of the list of images.
        blocks: Rows of ``images`` in each block.
        facts: Everything else that decides the rows: settings and digests of models.
        open_worker: Loads the model; pickled, and called once in each process that computes.
        uses_gpu: Whether the worker computes on a GPU if there is one.
    """

    command: str
    images: Sequence[Image]
    images_sha256: str
    blocks: Sequence[range]
    facts: Mapping[str, Any]
    open_worker: Callable[[], Worker]
    uses_gpu: bool = True

    @property
    def header(self) -> dict[str, Any]:
        """Description by which parts of the same job are recognised."""
        return {
            "format": FORMAT,
            "command": self.command,
            "images": len(self.images),
            "images_sha256": self.images_sha256,
            "blocks": len(self.blocks),
            **self.facts,
        }

    def images_of(self, number: int) -> Sequence[Image]:
        """Return the images of a block."""
        rows = self.blocks[number]
        return self.images[rows.start : rows.stop]


def split_rows(count: int, size: int, start: int = 0) -> list[range]:
    """Split ``count`` rows, from row ``start`` on, into blocks of ``size``; the last is smaller."""
    stop = start + count
    return [range(first, min(first + size, stop)) for first in range(start, stop, size)]


def digest_texts(texts: Iterable[str]) -> str:
    """Compute the SHA-256 of a list of texts, such as the keys of images."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()

"""Reading batches of images ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from reid_gen.data.images import UnreadableImage, decode
from reid_gen.types import Image, Ints, Pixels

_AHEAD = 3


@dataclass(frozen=True)
class DecodedBatch:
    """A batch as it comes from disk.

    Attributes:
        index: Row of each image in the list of images, [B].
        pixels: RGB in 0..255, [B, H, W, 3]; black where an image does not decode.
        failures: The images that do not decode. Whoever reads the batch must not pass over them.
    """

    index: Ints
    pixels: Pixels
    failures: tuple[UnreadableImage, ...] = field(default=())


class ImageLoader:
    """Decodes images with threads, a few batches ahead. The order is that of the request.

    Args:
        images: What indices refer to, N images.
        height: Rows of a decoded image.
        width: Columns of a decoded image.
        workers: Decoding threads (decoding releases Python's lock).
    """

    def __init__(self, images: Sequence[Image], height: int, width: int, workers: int) -> None:
        self.images = images
        self.height = height
        self.width = width
        self.workers = workers

    def part(self, rows: Ints) -> ImageLoader:
        """A loader of some of the images."""
        images = [self.images[row] for row in rows]
        return ImageLoader(images, self.height, self.width, self.workers)

    def in_order(self, batch: int) -> Iterator[DecodedBatch]:
        """Read all images once, ``batch`` at a time."""
        rows = np.arange(len(self.images))
        return self.read(rows[start : start + batch] for start in range(0, len(rows), batch))

    def read(self, batches: Iterable[Ints]) -> Iterator[DecodedBatch]:
        """Read the images of each batch of rows [B], in the order asked for."""
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            waiting: deque[tuple[Ints, Pixels, list[Future[list[UnreadableImage]]]]] = deque()
            for index in batches:
                waiting.append(self._start(pool, index))
                if len(waiting) > _AHEAD:
                    yield _finish(*waiting.popleft())
            while waiting:
                yield _finish(*waiting.popleft())

    def _start(
        self, pool: ThreadPoolExecutor, index: Ints
    ) -> tuple[Ints, Pixels, list[Future[list[UnreadableImage]]]]:
        pixels = np.zeros((len(index), self.height, self.width, 3), dtype=np.uint8)
        shares = np.array_split(np.arange(len(index)), self.workers)
        tasks = [pool.submit(self._fill, pixels, index, share) for share in shares]
        return index, pixels, tasks

    def _fill(self, pixels: Pixels, index: Ints, share: Ints) -> list[UnreadableImage]:
        failures = []
        for place in share:
            try:
                pixels[place] = decode(self.images[index[place]].path, self.height, self.width)
            except UnreadableImage as failure:
                failures.append(failure)
        return failures


def _finish(
    index: Ints, pixels: Pixels, tasks: list[Future[list[UnreadableImage]]]
) -> DecodedBatch:
    failures = tuple(failure for task in tasks for failure in task.result())
    return DecodedBatch(index, pixels, failures)

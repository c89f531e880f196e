"""Reading batches of images ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from reid_gen.data.images import UnreadableImage, decode, unreadable_error
from reid_gen.data.sidecar import ConditionInputs, MakeConditions
from reid_gen.types import Image, Int64Array, Uint8Array

_AHEAD = 3


@dataclass(frozen=True)
class DecodedBatch:
    """A batch as it comes from disk.

    Attributes:
        index: Row of each image in the list of images, [B].
        pixels: RGB in 0..255, [B, H, W, 3]; black where an image does not decode.
        failures: The images that do not decode. Whoever reads the batch must not pass over them.
        condition_inputs: What comes beside the images, if that was asked for.
    """

    index: Int64Array
    pixels: Uint8Array
    failures: tuple[UnreadableImage, ...] = ()
    condition_inputs: ConditionInputs | None = None

    def complete(self) -> DecodedBatch:
        """The batch, if every image decoded.

        Raises:
            UserError: Listing every image that does not decode by its path.
        """
        if self.failures:
            raise unreadable_error(list(self.failures))
        return self


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

    def part(self, rows: Int64Array) -> ImageLoader:
        """A loader of some of the images."""
        images = [self.images[row] for row in rows]
        return ImageLoader(images, self.height, self.width, self.workers)

    def in_order(self, batch: int) -> Iterator[DecodedBatch]:
        """Read all images once, ``batch`` at a time."""
        rows = np.arange(len(self.images))
        return self.read(rows[start : start + batch] for start in range(0, len(rows), batch))

    def read(
        self, batches: Iterable[Int64Array], make_conditions: MakeConditions | None = None
    ) -> Iterator[DecodedBatch]:
        """Read the images of each batch of rows [B], in the order asked for.

        Args:
            batches: Rows of each batch.
            make_conditions: Makes what comes beside the images.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            waiting: deque[_Started] = deque()
            for number, index in enumerate(batches):
                waiting.append(self._start(pool, index))
                if make_conditions is not None:
                    images = [self.images[row] for row in index]
                    waiting[-1].condition_inputs = pool.submit(
                        waiting[-1].make_conditions, make_conditions, images, number
                    )
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().finish()
            while waiting:
                yield waiting.popleft().finish()

    def _start(self, pool: ThreadPoolExecutor, index: Int64Array) -> _Started:
        pixels = np.zeros((len(index), self.height, self.width, 3), dtype=np.uint8)
        shares = np.array_split(np.arange(len(index)), self.workers)
        tasks = [pool.submit(self._fill, pixels, index, share) for share in shares]
        return _Started(index, pixels, tasks)

    def _fill(
        self, pixels: Uint8Array, index: Int64Array, share: Int64Array
    ) -> list[UnreadableImage]:
        failures = []
        for place in share:
            try:
                pixels[place] = decode(self.images[index[place]].path, self.height, self.width)
            except UnreadableImage as failure:
                failures.append(failure)
        return failures


@dataclass
class _Started:
    """A batch that is being read."""

    index: Int64Array
    pixels: Uint8Array
    tasks: list[Future[list[UnreadableImage]]]
    condition_inputs: Future[ConditionInputs] | None = None

    def make_conditions(
        self, make_conditions: MakeConditions, images: Sequence[Image], number: int
    ) -> ConditionInputs:
        """Waits for the pixels; threads take them up first."""
        wait(self.tasks)
        return make_conditions(images, self.pixels, number)

    def finish(self) -> DecodedBatch:
        failures = tuple(failure for task in self.tasks for failure in task.result())
        condition_inputs = self.condition_inputs.result() if self.condition_inputs else None
        return DecodedBatch(self.index, self.pixels, failures, condition_inputs)

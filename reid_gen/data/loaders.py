"""Multi-threaded loading of image batches, with prefetching and generator inputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_gen.data.images import UnreadableImage, decode, unreadable_error
from reid_gen.data.pixel_cache import PixelCache
from reid_gen.types import Float32Array, Image, Int64Array, Uint8Array

BATCH_SIZE = 32
"""Images per batch of :meth:`ImageLoader.complete_batches`."""
_PREFETCH = 3


@dataclass(frozen=True)
class ConditionInputs:
    """Generator inputs for the images of a batch that get views.

    Attributes:
        batch_index: Positions of these images in the batch, [b].
        conditions: Condition images (such as body maps) by name, [b, H, W, C] each.
        sample_weight: Sample weights of the V views of each image in 0..1, [b, V]; None weighs
            all by 1.
    """

    batch_index: Int64Array
    conditions: Mapping[str, Float32Array]
    sample_weight: Float32Array | None = None


MakeConditions = Callable[[Sequence[Image], Uint8Array, int], ConditionInputs]
"""Makes generator inputs from the images of a batch, their pixels [B, H, W, 3] and the batch
number; called in a loader thread."""


@dataclass(frozen=True)
class DecodedBatch:
    """A batch of decoded images.

    Attributes:
        index: Row of each image in the loader's list of images, [B].
        pixels: RGB in 0..255, [B, H, W, 3]; black where an image could not be decoded.
        failures: Images that could not be decoded; readers of the batch must report them.
        condition_inputs: Generator inputs; None unless requested.
        decode_seconds: CPU time of decoding, in seconds over all threads.
    """

    index: Int64Array
    pixels: Uint8Array
    failures: tuple[UnreadableImage, ...] = ()
    condition_inputs: ConditionInputs | None = None
    decode_seconds: float = 0.0

    def complete(self) -> DecodedBatch:
        """Return the batch itself if every image was decoded.

        Raises:
            UserError: Listing the paths of all images that could not be decoded.
        """
        if self.failures:
            raise unreadable_error(list(self.failures))
        return self


class ImageLoader:
    """Decodes images in threads, a few batches ahead, and yields them in the requested order.

    Args:
        images: The N images that row indices refer to.
        height: Height of the decoded images in pixels.
        width: Width of the decoded images in pixels.
        workers: Number of decoding threads (decoding releases the GIL).
        cache: Decoded images of this size that loaders share; None decodes at every request.
    """

    def __init__(
        self,
        images: Sequence[Image],
        height: int,
        width: int,
        workers: int,
        cache: PixelCache | None = None,
    ) -> None:
        self.images = images
        self.height = height
        self.width = width
        self.workers = workers
        self.cache = cache

    def subset(self, rows: Int64Array) -> ImageLoader:
        """Return a loader of the images in the given rows."""
        images = [self.images[row] for row in rows]
        return ImageLoader(images, self.height, self.width, self.workers, self.cache)

    def in_order(self, batch_size: int) -> Iterator[DecodedBatch]:
        """Read all images once, ``batch_size`` at a time."""
        rows = np.arange(len(self.images))
        return self.read(
            rows[start : start + batch_size] for start in range(0, len(rows), batch_size)
        )

    def complete_batches(self) -> Iterator[DecodedBatch]:
        """Read all images once and fail on the first batch with an undecodable image.

        Raises:
            UserError: Listing the images of the batch that could not be decoded.
        """
        return (batch.complete() for batch in self.in_order(BATCH_SIZE))

    def read(
        self, batches: Iterable[Int64Array], make_conditions: MakeConditions | None = None
    ) -> Iterator[DecodedBatch]:
        """Read batches of images in the requested order.

        Args:
            batches: Row indices of the images of each batch, [B] each.
            make_conditions: Makes the generator inputs of a batch; None makes none.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            pending: deque[_PendingBatch] = deque()
            for number, index in enumerate(batches):
                pending.append(self._submit(pool, index))
                if make_conditions is not None:
                    images = [self.images[row] for row in index]
                    pending[-1].condition_inputs = pool.submit(
                        pending[-1].make_conditions, make_conditions, images, number
                    )
                if len(pending) > _PREFETCH:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _submit(self, pool: ThreadPoolExecutor, index: Int64Array) -> _PendingBatch:
        pixels = np.zeros((len(index), self.height, self.width, 3), dtype=np.uint8)
        chunks = np.array_split(np.arange(len(index)), self.workers)
        tasks = [pool.submit(self._decode_into, pixels, index, chunk) for chunk in chunks]
        return _PendingBatch(index, pixels, tasks)

    def _decode_into(
        self, pixels: Uint8Array, index: Int64Array, positions: Int64Array
    ) -> tuple[list[UnreadableImage], float]:
        """Decode the images at some positions of a batch.

        Returns:
            The images that failed, and the CPU time in seconds.
        """
        start = time.thread_time()
        failures = []
        for position in positions:
            path = self.images[index[position]].path
            try:
                pixels[position] = self._pixels(path)
            except UnreadableImage as failure:
                failures.append(failure)
        return failures, time.thread_time() - start

    def _pixels(self, path: Path) -> Uint8Array:
        if self.cache is not None:
            return self.cache.read(path)
        return decode(path, self.height, self.width)


@dataclass
class _PendingBatch:
    """A batch that threads are decoding."""

    index: Int64Array
    pixels: Uint8Array
    tasks: list[Future[tuple[list[UnreadableImage], float]]]
    condition_inputs: Future[ConditionInputs] | None = None

    def make_conditions(
        self, make_conditions: MakeConditions, images: Sequence[Image], number: int
    ) -> ConditionInputs:
        """Make generator inputs once the pixels are there.

        The pool starts tasks in order, so the decoding tasks it waits for are already running.
        """
        wait(self.tasks)
        return make_conditions(images, self.pixels, number)

    def result(self) -> DecodedBatch:
        results = [task.result() for task in self.tasks]
        failures = tuple(failure for failed, _ in results for failure in failed)
        condition_inputs = self.condition_inputs.result() if self.condition_inputs else None
        seconds = sum(seconds for _, seconds in results)
        return DecodedBatch(self.index, self.pixels, failures, condition_inputs, seconds)

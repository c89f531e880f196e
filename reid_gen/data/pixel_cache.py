"""Decoded images in memory, so that a file is decoded once per run instead of once per epoch."""

from __future__ import annotations

import threading
from pathlib import Path

from reid_gen.data.images import decode
from reid_gen.types import Uint8Array

Signature = tuple[int, int, int]
"""Device-independent identity of a file's content: inode, modification time in ns, bytes."""


class PixelCache:
    """Decodes images and keeps their pixels, as long as the files do not change.

    Several loaders and their threads may share one cache. When it is full, further images are
    decoded at every request.

    Args:
        height: Height of the decoded images in pixels.
        width: Width of the decoded images in pixels.
        max_bytes: Largest size of all kept pixels in bytes.
    """

    def __init__(self, height: int, width: int, max_bytes: int) -> None:
        self.height = height
        self.width = width
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: dict[Path, tuple[Signature, Uint8Array]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> Uint8Array:
        """Pixels of an image, RGB in 0..255, [H, W, 3], which must not be changed.

        Raises:
            UnreadableImage: If the file is missing, damaged or no image.
        """
        signature = _signature(path)
        entry = self._entries.get(path)
        if entry is not None and entry[0] == signature:
            return entry[1]
        pixels = decode(path, self.height, self.width)
        # A file that is replaced while it is decoded keeps its old signature, and is decoded again.
        if signature is not None:
            self._keep(path, signature, pixels)
        return pixels

    def _keep(self, path: Path, signature: Signature, pixels: Uint8Array) -> None:
        with self._lock:
            if path not in self._entries:
                if self.bytes + pixels.nbytes > self.max_bytes:
                    return
                self.bytes += pixels.nbytes
            self._entries[path] = (signature, pixels)


def _signature(path: Path) -> Signature | None:
    """Signature of a file; None if it cannot be read, which decoding then reports."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size

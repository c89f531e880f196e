"""Image evidence for fitting bodies: 2-D keypoints and person masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.images import decode, image_size
from reid_gen.errors import UserError
from reid_gen.files import read_json
from reid_gen.types import Float32Array

NUM_KEYPOINTS = 17
"""COCO keypoints: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left first."""
RULE = (
    "give a JSON list of {image_id: file name, keypoints: 17 x (x, y, confidence) in pixels, "
    "score}, as AlphaPose and MMPose write it for COCO's keypoints"
)


@dataclass(frozen=True)
class Evidence:
    """Keypoints and person masks of B images.

    Attributes:
        keypoints: COCO's keypoints, x and y in half heights of the image from its centre (y down)
            and confidence, 0 if unknown, [B, 17, 3].
        mask: Person masks, [B, H, W]; all False if unknown.
    """

    keypoints: Float32Array
    mask: NDArray[np.bool_]


class EvidenceFiles:
    """Reads keypoints from a JSON file and masks from a folder of images.

    Args:
        keypoints: JSON file as described by ``RULE``; among several people in an image the one with
            the highest score is used.
        masks: Folder of masks ``KEY.png``, with or without the key's folders; brighter than 127
            of 255 on the person.
        paths: Image path of each key.

    Raises:
        UserError: If the file or folder is missing or malformed, or covers none of the images.
    """

    def __init__(
        self, keypoints: Path | None, masks: Path | None, paths: Mapping[str, Path]
    ) -> None:
        self.paths = paths
        self.keypoints = {} if keypoints is None else _read_keypoints(keypoints)
        self.masks = masks
        self.source = " and ".join(str(path) for path in (keypoints, masks) if path is not None)
        if masks is not None and not masks.is_dir():
            raise UserError(f"no folder of masks at {masks}; check --masks")
        if not any(self._keypoints_of(key) is not None or self._mask_path(key) for key in paths):
            raise UserError(
                f"{self.source} has no entry for any of the {len(paths)} images, such as "
                f"{next(iter(paths))}; name each entry like its image"
            )

    def load(self, keys: Sequence[str], height: int, width: int) -> Evidence:
        """Load keypoints and masks of images that are resized to ``height`` x ``width``."""
        keypoints = np.zeros((len(keys), NUM_KEYPOINTS, 3), np.float32)
        mask = np.zeros((len(keys), height, width), bool)
        for row, key in enumerate(keys):
            detected = self._keypoints_of(key)
            if detected is not None:
                image_height, image_width = image_size(self.paths[key])
                keypoints[row, :, 0] = (2 * detected[:, 0] / image_width - 1) * width / height
                keypoints[row, :, 1] = 2 * detected[:, 1] / image_height - 1
                keypoints[row, :, 2] = detected[:, 2]
            mask_path = self._mask_path(key)
            if mask_path is not None:
                mask[row] = decode(mask_path, height, width).max(2) > 127
        return Evidence(keypoints, mask)

    def _keypoints_of(self, key: str) -> Float32Array | None:
        return self.keypoints.get(key, self.keypoints.get(PurePosixPath(key).name))

    def _mask_path(self, key: str) -> Path | None:
        if self.masks is None:
            return None
        name = PurePosixPath(key).with_suffix(".png")
        candidates = (self.masks / name, self.masks / name.name)
        return next((path for path in candidates if path.is_file()), None)


def _read_keypoints(path: Path) -> dict[str, Float32Array]:
    try:
        entries = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no keypoints: {error}; {RULE}") from error
    best: dict[str, tuple[float, Float32Array]] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        name, score, keypoints = _parse_entry(path, index, entry)
        if name not in best or score > best[name][0]:
            best[name] = (score, keypoints)
    return {name: keypoints for name, (_, keypoints) in best.items()}


def _parse_entry(path: Path, index: int, entry: Any) -> tuple[str, float, Float32Array]:
    try:
        keypoints = np.array(entry["keypoints"], np.float32).reshape(NUM_KEYPOINTS, 3)
        return str(entry["image_id"]), float(entry.get("score", 1)), keypoints
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}, entry {index}: {error!r}; {RULE}") from error

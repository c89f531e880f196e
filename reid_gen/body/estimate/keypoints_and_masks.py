"""What is known of a person in an image besides its pixels: key points, and a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid_gen.data.images import decode, size_of
from reid_gen.errors import UserError
from reid_gen.files import read_json
from reid_gen.types import Float32Array

POINTS = 17
"""COCO's: nose, eyes, ears, then shoulders, elbows, wrists, hips, knees and ankles, left first."""
RULE = (
    "give a JSON list of {image_id: file name, keypoints: 17 x (x, y, confidence) in pixels, "
    "score}, as AlphaPose and MMPose write it for COCO's key points"
)


@dataclass(frozen=True)
class Evidence:
    """About B images.

    Attributes:
        points: COCO's key points, x and y in half heights about the centre of the image (y down)
            and confidence, 0 where unknown, [B, 17, 3].
        mask: Where the person is, [B, H, W]; empty where unknown.
    """

    points: Float32Array
    mask: NDArray[np.bool_]


class EvidenceFiles:
    """Reads key points from one file and masks from a folder of pictures.

    Args:
        keypoints: See ``RULE``; of several people in an image the one with the best score counts.
        masks: Holds ``KEY.png``, with the key's folders or without: not black where the person is.
        paths: The image of each key.

    Raises:
        UserError: If the file or folder is missing, holds something else, or knows none of these
            images.
    """

    def __init__(
        self, keypoints: Path | None, masks: Path | None, paths: Mapping[str, Path]
    ) -> None:
        self.paths = paths
        self.points = {} if keypoints is None else _read_points(keypoints)
        self.masks = masks
        self.source = " and ".join(str(given) for given in (keypoints, masks) if given is not None)
        if masks is not None and not masks.is_dir():
            raise UserError(f"no folder of masks at {masks}; check --masks")
        if not any(self._points(key) is not None or self._mask(key) for key in paths):
            raise UserError(
                f"{self.source} knows none of the {len(paths)} images, such as "
                f"{next(iter(paths))}; name each entry like its image"
            )

    def of(self, keys: Sequence[str], height: int, width: int) -> Evidence:
        """What is known of some images, stretched to one size."""
        points = np.zeros((len(keys), POINTS, 3), np.float32)
        mask = np.zeros((len(keys), height, width), bool)
        for row, key in enumerate(keys):
            found = self._points(key)
            if found is not None:
                rows, columns = size_of(self.paths[key])
                points[row, :, 0] = (2 * found[:, 0] / columns - 1) * width / height
                points[row, :, 1] = 2 * found[:, 1] / rows - 1
                points[row, :, 2] = found[:, 2]
            file = self._mask(key)
            if file is not None:
                mask[row] = decode(file, height, width).max(2) > 127
        return Evidence(points, mask)

    def _points(self, key: str) -> Float32Array | None:
        return self.points.get(key, self.points.get(PurePosixPath(key).name))

    def _mask(self, key: str) -> Path | None:
        if self.masks is None:
            return None
        name = PurePosixPath(key).with_suffix(".png")
        places = (self.masks / name, self.masks / name.name)
        return next((place for place in places if place.is_file()), None)


def _read_points(path: Path) -> dict[str, Float32Array]:
    try:
        entries = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no key points: {error}; {RULE}") from error
    best: dict[str, tuple[float, Float32Array]] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        name, score, points = _entry(path, number, entry)
        if name not in best or score > best[name][0]:
            best[name] = (score, points)
    return {name: points for name, (_, points) in best.items()}


def _entry(path: Path, number: int, entry: Any) -> tuple[str, float, Float32Array]:
    try:
        points = np.array(entry["keypoints"], np.float32).reshape(POINTS, 3)
        return str(entry["image_id"]), float(entry.get("score", 1)), points
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}, entry {number}: {error!r}; {RULE}") from error

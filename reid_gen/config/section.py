"""Base class of all sections of a configuration, and number types with their ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reid_gen import limits


def _within(minimum: float, maximum: float) -> Any:
    return Field(ge=minimum, le=maximum)


Fraction = Annotated[float, _within(0, 1)]
"""Share, probability or score in [0, 1]."""
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, _within(0, 1e6)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, _within(*limits.SEED)]
Count = Annotated[int, _within(*limits.COUNT)]
CountOrZero = Annotated[int, _within(0, limits.COUNT[1])]
Batch = Annotated[int, _within(*limits.BATCH)]
NormBatch = Annotated[int, _within(2, limits.BATCH[1])]
"""Images that are batch-normalised together; a single image has no variance."""
Threads = Annotated[int, _within(*limits.THREADS)]
Neighbours = Annotated[int, _within(*limits.NEIGHBOURS)]
Side = Annotated[int, _within(*limits.SIDE)]
"""Image height or width in pixels."""
Channels = Annotated[int, _within(1, 8_192)]
"""Channels of a layer, or dimensions of a feature."""
Depth = Annotated[int, _within(1, 64)]
"""Number of consecutive layers, blocks or scales."""


class Section(BaseModel):
    """Base of all sections: immutable, without unknown keys, implicit conversion or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

"""What every section of a configuration has in common, and kinds of numbers with their ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reid_gen import limits


def _within(least: float, most: float) -> Any:
    return Field(ge=least, le=most)


"""What draws bodies: fast on a CPU; on a GPU too; the same by another library (docs/bodies.md)."""
Share = Annotated[float, _within(0, 1)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, _within(0, 1e6)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, _within(*limits.SEED)]
Count = Annotated[int, _within(*limits.COUNT)]
CountOrZero = Annotated[int, _within(0, limits.COUNT[1])]
Batch = Annotated[int, _within(*limits.BATCH)]
NormBatch = Annotated[int, _within(2, limits.BATCH[1])]
"""Images that batch norm takes together; one has no variance."""
Threads = Annotated[int, _within(*limits.THREADS)]
Neighbours = Annotated[int, _within(*limits.NEIGHBOURS)]
Side = Annotated[int, _within(*limits.SIDE)]
Channels = Annotated[int, _within(1, 8_192)]
"""Of a layer, or numbers in a feature."""
Depth = Annotated[int, _within(1, 64)]
"""Layers, blocks or scales, one after the other."""


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent conversion, no nan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

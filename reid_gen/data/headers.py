"""Comparison of the headers of output folders, which say how their content was computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differing_keys(existing: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """List the dotted keys by which two headers differ, such as ``settings.model.steps``."""
    differing = []
    for key in {**requested, **existing}:
        old, new = existing.get(key), requested.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            differing += [f"{key}.{inner}" for inner in differing_keys(old, new)]
        elif old != new:
            differing.append(key)
    return differing

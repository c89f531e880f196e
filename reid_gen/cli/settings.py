"""What commands check of settings before torch loads."""

from __future__ import annotations

from pathlib import Path

from reid_gen.cli.options import INPUT, MODEL_PATH
from reid_gen.config.section import Section
from reid_gen.models.weight_files import weight_file

MADE = ("runs",)
"""Folders that a command makes."""
MODELS = ("start_from", "run")
"""Paths that may be names of the zoo."""


def refuse_missing_paths(settings: Section, section: str = "") -> None:
    """See that all files and folders that settings name are there.

    Args:
        settings: A section of a configuration, with the sections below it.
        section: Where it stands, such as ``data.``.

    Raises:
        UserError: If one is not.
    """
    for name, value in settings:
        key = f"{section}{name}"
        if isinstance(value, Section):
            refuse_missing_paths(value, f"{key}.")
            continue
        path = weight_file(value) if key == "encoder.weights" else value
        if isinstance(path, Path) and name not in MADE:
            (MODEL_PATH if name in MODELS else INPUT).refuse_missing(path, key)

"""Checks of the paths in a configuration, before torch loads."""

from __future__ import annotations

from pathlib import Path

from reid_gen.cli.options import INPUT, MODEL_PATH
from reid_gen.config.section import Section
from reid_gen.models.weight_files import weight_file

CREATED_FOLDERS = ("runs",)
"""Settings of folders that a command creates."""
MODEL_SETTINGS = ("start_from", "run")
"""Settings that take a run folder, a checkpoint folder or a model zoo name."""


def check_paths_exist(settings: Section, prefix: str = "") -> None:
    """Check that all files and folders named in a configuration exist.

    Args:
        settings: Section of a configuration, with its subsections.
        prefix: Dotted path of the section, such as ``data.``.

    Raises:
        UserError: If a file or folder does not exist.
    """
    for name, value in settings:
        key = f"{prefix}{name}"
        if isinstance(value, Section):
            check_paths_exist(value, f"{key}.")
            continue
        path = weight_file(value) if key == "encoder.weights" else value
        if isinstance(path, Path) and name not in CREATED_FOLDERS:
            (MODEL_PATH if name in MODEL_SETTINGS else INPUT).check_exists(path, key)

"""Resuming a run: read its checkpoint, and refuse settings or data that have changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from reid_gen.errors import UserError
from reid_gen.files import cannot_write, previous_path
from reid_gen.models.checkpoint import RESUME_FILE, check_files
from reid_gen.models.weight_files import LAST_FOLDER

REQUIRED_KEYS: dict[str, type] = {"epoch": int, "optimizers": dict, "journal": str, "facts": dict}
"""Key of ``resume.pt`` -> type of its value."""
SAME_CONTENT = "a path, whose content is compared"
SAME_RESULT = "changes how it is computed, and results by rounding at most"
MAY_CHANGE = {
    "name": "has no effect on training",
    "runs": "location of the run folder",
    "data.root": SAME_CONTENT,
    "source.root": SAME_CONTENT,
    "generator.bodies": SAME_CONTENT,
    "generator.body": SAME_CONTENT,
    "generator.groups": SAME_CONTENT,
    "pose.groups": SAME_CONTENT,
    "data.workers": SAME_RESULT,
    "data.cache": SAME_RESULT,
    "generator.gradient_checkpointing": SAME_RESULT,
    "body.rasteriser": SAME_RESULT,
    "evaluation.batch": SAME_RESULT,
    "evaluation.every": "has no effect on training",
    "machine.device": SAME_RESULT,
    "machine.processes": "draws other random numbers, and forms other groups for batch norm unless "
    "a process's share of the batch is a multiple of encoder.ghost_batch",
    "machine.torch": SAME_RESULT,
    "machine.reid_gen": "see the changelog for what else a version changes",
}
"""Facts that may differ when a run is resumed -> why its results stay comparable."""


def restore_last(run: Path, log: Callable[[str], None]) -> dict[str, Any]:
    """Read the newest intact checkpoint of a run, and make it the last one.

    Args:
        run: Run folder.
        log: Receives a message if the last checkpoint is damaged.

    Returns:
        State of the run, see :func:`load_resume`.

    Raises:
        UserError: If no checkpoint is intact.
    """
    last, previous, damaged = (
        run / LAST_FOLDER,
        previous_path(run / LAST_FOLDER),
        run / f"{LAST_FOLDER}.damaged",
    )
    try:
        return load_resume(last)
    except UserError as error:
        fault = error
    try:
        state = load_resume(previous)
    except UserError as error:
        if not previous.exists():
            raise fault from None
        raise UserError(f"{fault}\nthe previous checkpoint is damaged too: {error}") from error
    try:
        shutil.rmtree(damaged, ignore_errors=True)
        if last.exists():
            last.rename(damaged)
        previous.rename(last)
    except OSError as error:
        raise cannot_write(last, error) from error
    log(f"{fault}\nresuming from the previous checkpoint, after epoch {state['epoch']}")
    return state


def load_resume(folder: Path) -> dict[str, Any]:
    """Read the state of a run from a checkpoint folder: the keys of :data:`REQUIRED_KEYS`.

    Raises:
        UserError: If the folder holds no intact checkpoint of a run.
    """
    file = folder / RESUME_FILE
    if not folder.exists():
        raise UserError(
            f"{folder.parent} holds no checkpoint, so this run cannot be resumed; "
            "remove the folder and start the run again"
        )
    check_files(folder)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"{file} is damaged; restore it, or start a new run") from error
    missing = [
        name
        for name, kind in REQUIRED_KEYS.items()
        if not (isinstance(state, dict) and isinstance(state.get(name), kind))
    ]
    if missing:
        raise UserError(
            f"{file} holds no {', '.join(missing)}, so this run cannot be resumed; "
            f"start a new run with start_from: {folder}"
        )
    return dict(state)


def load_optimizers(
    optimizers: Mapping[str, torch.optim.Optimizer], states: Mapping[str, Any], run: Path
) -> None:
    """Load the states of optimisers by name.

    Args:
        optimizers: Optimisers, changed in place.
        states: Their saved states.
        run: Run folder, for messages.

    Raises:
        UserError: If a state is missing or does not fit.
    """
    for name, optimizer in optimizers.items():
        try:
            optimizer.load_state_dict(states[name])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{run / LAST_FOLDER / RESUME_FILE} has no state that fits optimiser {name}, so "
                f"this run cannot be resumed; start a new run with start_from: {run}"
            ) from error


def refuse_other_run(
    run: Path, before: Mapping[str, Any], now: Mapping[str, Any], log: Callable[[str], None]
) -> None:
    """Report what has changed since a run was started; refuse what makes results incomparable.

    Args:
        run: Run folder.
        before: Facts of the run when it was started.
        now: Facts of the run now.
        log: Receives a line for each difference that is allowed.

    Raises:
        UserError: Naming each difference that is not allowed.
    """
    differing = {
        name: f"{name}: {now.get(name, 'nothing')} instead of {before.get(name, 'nothing')}"
        for name in {**before, **now}
        if (name in before, before.get(name)) != (name in now, now.get(name))
    }
    refused = [line for name, line in differing.items() if name not in MAY_CHANGE]
    if refused:
        raise UserError(
            f"{run} was started with other settings or data: {'; '.join(refused)}; restore them, "
            f"or start a new run with start_from: {run}"
        )
    for name, line in differing.items():
        log(f"{line} ({MAY_CHANGE[name]})")

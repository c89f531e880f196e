"""What a run needs to go on, and whether it would still be the same run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from reid_gen.errors import UserError
from reid_gen.files import cannot_write, old_of
from reid_gen.models.checkpoint import RESUME, check_files
from reid_gen.models.weight_files import LAST

NEEDED: dict[str, type] = {"epoch": int, "optimizers": dict, "journal": str, "facts": dict}
"""What ``resume.pt`` holds."""
SAME_CONTENT = "a path, whose content is compared"
SAME_RESULT = "how it is computed, which moves roundings at most"
MAY_CHANGE = {
    "name": "says nothing of the training",
    "runs": "where the folder lies",
    "data.root": SAME_CONTENT,
    "source.root": SAME_CONTENT,
    "generator.bodies": SAME_CONTENT,
    "generator.body": SAME_CONTENT,
    "generator.groups": SAME_CONTENT,
    "pose.groups": SAME_CONTENT,
    "data.workers": SAME_RESULT,
    "generator.gradient_checkpointing": SAME_RESULT,
    "body.rasteriser": SAME_RESULT,
    "evaluation.batch": SAME_RESULT,
    "evaluation.every": "when it is measured; training does not see it",
    "machine.device": SAME_RESULT,
    "machine.processes": SAME_RESULT,
    "machine.torch": SAME_RESULT,
    "machine.reid_gen": "the changelog says what else a version changes",
}
"""Facts of a run that may differ when it goes on, and why its numbers stay comparable."""


def restore_last(run: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Read the newest whole checkpoint of a run, and make it the last one.

    Args:
        run: The run folder.
        say: Told if that is not the last one.

    Returns:
        As :func:`load_resume`.

    Raises:
        UserError: If there is none.
    """
    last, before, damaged = (run / LAST, old_of(run / LAST), run / f"{LAST}.damaged")
    try:
        return load_resume(last)
    except UserError as error:
        fault = error
    try:
        state = load_resume(before)
    except UserError:
        raise fault from None
    try:
        shutil.rmtree(damaged, ignore_errors=True)
        if last.exists():
            last.rename(damaged)
        before.rename(last)
    except OSError as error:
        raise cannot_write(last, error) from error
    say(f"{fault}\ngoing on from the checkpoint before, after epoch {state['epoch']}")
    return state


def load_resume(folder: Path) -> dict[str, Any]:
    """Read what a resumed run needs: the keys of :data:`NEEDED`.

    Raises:
        UserError: If the folder holds no whole checkpoint of a run.
    """
    file = folder / RESUME
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
    lacking = [
        name
        for name, kind in NEEDED.items()
        if not (isinstance(state, dict) and isinstance(state.get(name), kind))
    ]
    if lacking:
        raise UserError(
            f"{file} holds no {', '.join(lacking)}, so this run cannot be resumed; "
            f"start a new run with start_from: {folder}"
        )
    return dict(state)


def load_optimizers(
    optimizers: Mapping[str, torch.optim.Optimizer], states: Mapping[str, Any], run: Path
) -> None:
    """Give optimisers the state they had.

    Raises:
        UserError: If a state is missing or does not fit.
    """
    for name, optimizer in optimizers.items():
        try:
            optimizer.load_state_dict(states[name])
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{run / LAST / RESUME} has no state that fits optimiser {name}, so this run "
                f"cannot be resumed; start a new run with start_from: {run}"
            ) from error


def refuse_other_run(
    run: Path, before: Mapping[str, Any], now: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Say what differs from when a run was started, and stop if its numbers would mean nothing.

    Args:
        run: The run folder.
        before: Facts of the run when it was started.
        now: Facts as they are.
        say: Told what differs and may.

    Raises:
        UserError: Naming each fact that differs and may not.
    """
    differing = {
        name: f"{name}: {now.get(name, 'nothing')} instead of {before.get(name, 'nothing')}"
        for name in {**before, **now}
        if (name in before, before.get(name)) != (name in now, now.get(name))
    }
    refused = [line for name, line in differing.items() if name not in MAY_CHANGE]
    if refused:
        raise UserError(
            f"{run} would no longer be one run: {'; '.join(refused)}; restore what it was started "
            f"with, or start a new run with start_from: {run}"
        )
    for name, line in differing.items():
        say(f"{line} ({MAY_CHANGE[name]})")

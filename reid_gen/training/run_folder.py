"""Run folders: created by one process, and locked so that one process at a time writes."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reid_gen.errors import UserError
from reid_gen.files import cannot_write

CONFIG = "config.yaml"
LOCK = ".lock"


def refuse_run(run: Path) -> None:
    """Refuse a run folder that exists, before any work is done.

    Raises:
        UserError: If it exists.
    """
    if run.exists():
        raise _exists(run)


def _exists(run: Path) -> UserError:
    return UserError(
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )


def make_run(run: Path) -> None:
    """Create a run folder; of several processes the system lets one succeed.

    Raises:
        UserError: If it exists or cannot be created.
    """
    try:
        run.mkdir(parents=True)
    except FileExistsError as error:
        raise _exists(run) from error
    except OSError as error:
        raise cannot_write(run, error) from error


def remove_run(run: Path) -> None:
    """Remove a run folder, also if a signal interrupts it; what cannot be removed stays.

    torchrun stops all processes as soon as one has failed, which is when the folder is removed.
    """
    hidden = run.with_name(f".{run.name}.{os.getpid()}")
    with suppress(OSError):
        run.rename(hidden)
        try:
            shutil.rmtree(hidden, ignore_errors=True)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def locked(run: Path, log: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Lock a run folder against other processes.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        run: Run folder.
        log: Receives a warning where the file system has no locks; the run continues without one.

    Yields:
        Function that tells whether the folder is still the locked one and not a new one of the
        same name.

    Raises:
        UserError: If another process holds the lock, or the folder cannot be written.
    """
    try:
        file = (run / LOCK).open("ab+", buffering=0)
    except OSError as error:
        raise cannot_write(run, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"another process writes into {run}: {file.read().decode() or 'just started'}; "
                "wait until it ends, or stop it"
            ) from error
        except OSError as error:
            log(f"{run} cannot be locked ({error.strerror}); start nothing else that writes there")
        with suppress(OSError):  # a full disk; the lock holds without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield lambda: _is_at(file.fileno(), run / LOCK)


def _is_at(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())

"""The folder of a run: made by one process, and written by one process at a time."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reid_gen.errors import UserError
from reid_gen.files import cannot_write

CONFIG = "config.yaml"
LOCK = ".lock"


def refuse_run(run: Path) -> None:
    """Stop before any work if a run folder is there already.

    Raises:
        UserError: If it is.
    """
    if run.exists():
        raise _exists(run)


def _exists(run: Path) -> UserError:
    return UserError(
        f"{run} exists; choose another name, resume it with --resume {run}, or remove it"
    )


def make_run(run: Path) -> None:
    """Make a run folder. The system lets one of several processes make it.

    Raises:
        UserError: If it exists or cannot be made.
    """
    try:
        run.mkdir(parents=True)
    except FileExistsError as error:
        raise _exists(run) from error
    except OSError as error:
        raise cannot_write(run, error) from error


@contextmanager
def locked(run: Path, say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Keep other processes from writing into a run folder.

    The lock belongs to the process, so that the system opens it however the process ends.

    Args:
        run: The folder.
        say: Told where the file system has no locks; the run then goes on without one.

    Yields:
        Whether the folder is still the one that was locked, and no new one of the same name.

    Raises:
        UserError: If another process writes into the folder, or it cannot be written.
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
            say(f"{run} cannot be locked ({error.strerror}); start nothing else that writes there")
        with suppress(OSError):  # a full disk; the lock holds without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield lambda: _is_at(file.fileno(), run / LOCK)


def _is_at(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())

"""The metrics log of a run: metrics.jsonl, and TensorBoard if it is installed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from reid_gen.data.images import save_image
from reid_gen.errors import UserError
from reid_gen.extras import installed
from reid_gen.files import as_json, cannot_write, write_bytes
from reid_gen.types import Uint8Array

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends one record per epoch to a run folder. Epochs count from 1; 0 is before training.

    Args:
        run: Run folder.
        text: Records of the complete epochs, which replace those in the folder.
        epoch: First epoch that will be written; TensorBoard drops this and later epochs of an
            interrupted run.

    Raises:
        UserError: If the log cannot be written; all methods raise it too.
    """

    def __init__(self, run: Path, text: str = "", epoch: int = 0) -> None:
        self.text = text
        self._file = run / METRICS
        self._views = run / "views"
        self._curves = run / "tensorboard"
        write_bytes(self._file, text.encode())
        self._opened = _open_board(self._curves, epoch)

    def write(self, epoch: int, record: Mapping[str, float | int | str]) -> None:
        """Append the metrics of an epoch."""
        line = as_json({"epoch": epoch, **record}, None) + "\n"
        with _name_path_on_error(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(line)
        self.text += line
        with _name_path_on_error(self._curves):
            if self._board is not None:
                for name, value in record.items():
                    if not isinstance(value, str):
                        self._board.add_scalar(name, value, epoch)
                self._board.flush()

    def write_sheet(self, epoch: int, sheet: Uint8Array) -> None:
        """Write a sheet of generated views [h, w, 3] of an epoch."""
        with _name_path_on_error(self._views):
            save_image(sheet, self._views / f"epoch_{epoch:04d}.png")
        with _name_path_on_error(self._curves):
            if self._board is not None:
                self._board.add_image("views", sheet, epoch, dataformats="HWC")

    def __enter__(self) -> MetricsLog:
        self._board = self._opened.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, trace)


@contextmanager
def _open_board(folder: Path, epoch: int) -> Iterator[SummaryWriter | None]:
    """Open TensorBoard's writer, None if it is not installed; an earlier error is not replaced."""
    if not installed("tensorboard"):
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    report = threading.excepthook

    def report_others(error: threading.ExceptHookArgs) -> None:
        if not isinstance(error.exc_value, OSError):
            report(error)

    # Its thread would print a traceback of an error that is raised in the main thread as well.
    threading.excepthook = report_others
    try:
        with _name_path_on_error(folder):
            board = SummaryWriter(str(folder), purge_step=epoch)
        try:
            yield board
        except BaseException:
            with suppress(OSError):
                board.close()
            raise
        with _name_path_on_error(folder):
            board.close()
    finally:
        threading.excepthook = report


def read_metrics(run: Path) -> list[dict[str, float | int | str]]:
    """Read all records of a run in order, without a last line that is still being written.

    Raises:
        UserError: If the file cannot be read, or a line is damaged.
    """
    file = run / METRICS
    way_out = f"`reid-gen train --resume {run}` rewrites it from the last checkpoint"
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}; {way_out}") from error
    return [
        _record(line, f"{file}:{number}", way_out)
        for number, line in enumerate(lines, 1)
        if line.endswith("\n")
    ]


def _record(line: str, source: str, way_out: str) -> dict[str, float | int | str]:
    try:
        record = json.loads(line)
        int(record["epoch"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{source}: this is no record of an epoch; {way_out}") from error
    return dict(record)


@contextmanager
def _name_path_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error

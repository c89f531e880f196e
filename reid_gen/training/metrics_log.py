"""What a run measured: metrics.jsonl and tensorboard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from reid_gen.data.images import save_picture
from reid_gen.errors import UserError
from reid_gen.files import as_json, cannot_write, write_bytes
from reid_gen.types import Uint8Array

METRICS = "metrics.jsonl"


class Journal:
    """Appends one record per epoch to a run folder. Epochs count from 1; 0 is before training.

    Args:
        run: The run folder.
        text: Records of the epochs that are complete, which replace those in the folder.
        epoch: First epoch that will be written; tensorboard drops this one and later ones of a run
            that was cut off.

    Raises:
        UserError: If it cannot be written; so do all methods.
    """

    def __init__(self, run: Path, text: str = "", epoch: int = 0) -> None:
        self.text = text
        self._file = run / METRICS
        self._views = run / "views"
        write_bytes(self._file, text.encode())
        with _writing(run):
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=epoch)

    def write(self, epoch: int, record: Mapping[str, float | int | str]) -> None:
        """Add the measurements of an epoch."""
        line = as_json({"epoch": epoch, **record}, None) + "\n"
        with _writing(self._file):
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line)
            self.text += line
            for name, value in record.items():
                if not isinstance(value, str):
                    self._board.add_scalar(name, value, epoch)
            self._board.flush()

    def show(self, epoch: int, sheet: Uint8Array) -> None:
        """Add a contact sheet [h, w, 3] of an epoch."""
        with _writing(self._views):
            save_picture(sheet, self._views / f"epoch_{epoch:04d}.png")
            self._board.add_image("views", sheet, epoch, dataformats="HWC")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _writing(self._file.parent):
            self._board.close()


def read_metrics(run: Path) -> list[dict[str, float | int | str]]:
    """All records of a run, in order; a last line that is being written is left out.

    Raises:
        UserError: If there are none, or a line is damaged.
    """
    file = run / METRICS
    way_out = f"`reid-gen train --resume {run}` writes it again from the last checkpoint"
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}; {way_out}") from error
    return [
        _record(line, f"{file}:{number}", way_out)
        for number, line in enumerate(lines, 1)
        if line.endswith("\n")
    ]


def _record(line: str, place: str, way_out: str) -> dict[str, float | int | str]:
    try:
        record = json.loads(line)
        int(record["epoch"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{place}: this is no record of an epoch; {way_out}") from error
    return dict(record)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(place, error) from error

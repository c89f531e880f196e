"""What a run measured: metrics.jsonl and tensorboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from reid_gen.data.images import save_picture
from reid_gen.types import Pixels

METRICS = "metrics.jsonl"


class Journal:
    """Appends one record per epoch to a run folder.

    Args:
        run: The run folder.
        epoch: First epoch that will be written; records of it and later ones, left by a run that
            was cut off, are taken out.
    """

    def __init__(self, run: Path, epoch: int = 0) -> None:
        self._file = run / METRICS
        kept = [line for line in _lines(self._file) if json.loads(line)["epoch"] < epoch]
        aside = self._file.with_suffix(".partial")
        aside.write_text("".join(kept), encoding="utf-8")
        aside.replace(self._file)
        self._views = run / "views"
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=epoch)

    def write(self, epoch: int, record: Mapping[str, float | int | str]) -> None:
        """Add the measurements of an epoch; -1 is the state before training."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **record}) + "\n")
        for name, value in record.items():
            if not isinstance(value, str):
                self._board.add_scalar(name, value, epoch + 1)
        self._board.flush()

    def show(self, epoch: int, sheet: Pixels) -> None:
        """Add a contact sheet [h, w, 3] of an epoch."""
        save_picture(sheet, self._views / f"epoch_{epoch + 1:04d}.png")
        self._board.add_image("views", sheet, epoch + 1, dataformats="HWC")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._board.close()


def read_metrics(run: Path) -> list[dict[str, float | int | str]]:
    """All records of a run, in order."""
    return [json.loads(line) for line in _lines(run / METRICS)]


def _lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]

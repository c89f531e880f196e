"""Profile of an epoch: a table of where its time goes, and a trace of some of its steps.

Ten steps of the second epoch of each stage are traced (of the first, if there is one only): the
first epoch decodes all images. A part's time is the time inside its span that no inner span has. A
backward pass belongs to the part that its forward pass was in.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from reid_gen.data.loaders import DecodedBatch
from reid_gen.files import cannot_write, write_bytes
from reid_gen.runtime.spans import PREFIX, span
from reid_gen.text_table import aligned
from reid_gen.training.stages import EpochPosition
from reid_gen.types import Int64Array

SKIPPED, TRACED = 3, 10
"""Steps of an epoch before the traced ones, and number of traced steps."""
WAITING, OPTIMISER, OTHER = "waiting for images", "optimiser", "other (Python, small operations)"
FOLDER = "profile"
_OPTIMISER_PREFIX, _BACKWARD_PREFIX = "Optimizer.step#", "autograd::engine::evaluate_function"
Step = tuple[DecodedBatch, Int64Array]


@dataclass
class _Window:
    """Measurements of the traced steps.

    Attributes:
        seconds: Wall time of each part.
        device_seconds: Time of each part's kernels on a GPU.
        wall: Wall time of all traced steps in seconds.
        decoding: CPU time of decoding their images in loader threads, in seconds.
        steps: Number of traced steps.
    """

    seconds: dict[str, float]
    device_seconds: dict[str, float]
    wall: float
    decoding: float
    steps: int


@dataclass
class Profile:
    """Traces some steps, and writes the table of an epoch.

    Attributes:
        folder: Folder to write to.
        networks: Networks whose forward and backward passes are parts of the table, by name.
    """

    folder: Path
    networks: Mapping[str, nn.Module]
    _window: _Window | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name, network in self.networks.items():
            for module in (network, *network.children()):  # a step may call the parts alone
                _add_span(module, name)

    def steps(self, position: EpochPosition, steps: Iterable[Step], count: int) -> Iterator[Step]:
        """Yield the steps of an epoch and trace some of them.

        Args:
            position: Position of the epoch.
            steps: Decoded batches with their rows.
            count: Number of steps.
        """
        if position.epoch != min(1, position.stage.epochs - 1):
            yield from steps
            return
        iterator = iter(steps)
        skipped = min(SKIPPED, max(0, count - TRACED))
        for _ in range(skipped):
            yield next(iterator)
        yield from self._trace(position, iterator, min(TRACED, count - skipped))
        yield from iterator

    def _trace(self, position: EpochPosition, steps: Iterator[Step], count: int) -> Iterator[Step]:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        decoding = 0.0
        with profile(activities=activities) as trace:
            start = time.perf_counter()
            for _ in range(count):
                with span(WAITING):
                    decoded, rows = next(steps)
                decoding += decoded.decode_seconds
                yield decoded, rows
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            wall = time.perf_counter() - start
        seconds, device_seconds = _time_of_parts(trace.events())
        seconds[OTHER] += max(0.0, wall - sum(seconds.values()))
        self._window = _Window(seconds, device_seconds, wall, decoding, count)
        try:
            self.folder.mkdir(exist_ok=True)
            trace.export_chrome_trace(str(self.folder / f"{_stem(position)}.trace.json"))
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def write(self, position: EpochPosition, record: Mapping[str, Any]) -> str | None:
        """Write the table of an epoch.

        Args:
            position: Position of the epoch.
            record: Metrics of the epoch.

        Returns:
            The table; None if the epoch was not traced.
        """
        window, self._window = self._window, None
        if window is None:
            return None
        text = "\n\n".join([_epoch_table(record), _step_table(window)])
        write_bytes(self.folder / f"{_stem(position)}.txt", f"{text}\n".encode())
        return text


def _stem(position: EpochPosition) -> str:
    return f"epoch_{position.number:04d}"


def _add_span(module: nn.Module, name: str) -> None:
    """Record each call of a module as a span."""
    running: list[record_function] = []

    def enter(*_: object) -> None:
        running.append(span(name))
        running[-1].__enter__()  # type: ignore[no-untyped-call]

    def leave(*_: object) -> None:
        running.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave, always_call=True)


def _time_of_parts(events: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each part on the host and on the device, from a trace's events."""
    forward_part: dict[int, str] = {}  # autograd's sequence number -> part of the forward pass
    # Operations without gradient carry the number of the next one that has a gradient.
    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not _in_backward(event):
            forward_part[event.sequence_nr] = _span_of(event)
    host: dict[str, float] = defaultdict(float)
    device: dict[str, float] = defaultdict(float)
    for event in events:
        backward = _in_backward(event)
        if backward is None:
            part = _span_of(event)
        else:
            part = forward_part.get(backward.sequence_nr, OTHER)
            part = part if part == OTHER else f"{part}, backward"
        host[part] += event.self_cpu_time_total / 1e6
        device[part] += event.self_device_time_total / 1e6
    return host, device


def _span_of(event: Any) -> str:
    """Name of the innermost span around an event."""
    while event is not None:
        if event.name.startswith(PREFIX):
            return str(event.name.removeprefix(PREFIX))
        if event.name.startswith(_OPTIMISER_PREFIX):
            return OPTIMISER
        event = event.cpu_parent
    return OTHER


def _in_backward(event: Any) -> Any:
    """The node of the backward pass that an event is in; None for an event of a forward pass."""
    while event is not None:
        if event.name.startswith(_BACKWARD_PREFIX):
            return event
        event = event.cpu_parent
    return None


def _epoch_table(record: Mapping[str, Any]) -> str:
    """Seconds of the parts of an epoch."""
    parts = {
        "extraction": record.get("seconds_extract", 0.0),
        "clustering": record.get("seconds_cluster", 0.0),
        "training steps": record["seconds_train"],
        "evaluation": record.get("seconds_evaluate", 0.0),
    }
    total = record["seconds"]
    parts["other"] = max(0.0, total - sum(parts.values()))
    rows = [(name, f"{seconds:.2f}", f"{seconds / total:.1%}") for name, seconds in parts.items()]
    return aligned(("epoch", "seconds", "share"), [*rows, ("total", f"{total:.2f}", "")])


def _step_table(window: _Window) -> str:
    """Milliseconds of the parts of a step."""

    def milliseconds(seconds: float) -> str:
        return f"{1000 * seconds / window.steps:.2f}"

    on_device = sum(window.device_seconds.values()) > 0
    rows = [
        (name, milliseconds(seconds), f"{seconds / window.wall:.1%}")
        + ((milliseconds(window.device_seconds[name]),) if on_device else ())
        for name, seconds in sorted(window.seconds.items(), key=lambda part: -part[1])
        if seconds > 0
    ]
    heads = ("step", "ms on the host", "share") + (("ms on the GPU",) if on_device else ())
    table = aligned(heads, [*rows, ("total", milliseconds(window.wall), "")])
    decoding = f"decoding in loader threads: {milliseconds(window.decoding)} ms of CPU time"
    return f"{table}\n{decoding}, at the same time"

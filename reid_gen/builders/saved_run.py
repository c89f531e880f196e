"""A trained run, opened to generate views with its networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from reid_gen.config.generators import BodyConditioned
from reid_gen.config.load import load_config
from reid_gen.config.schema import Config
from reid_gen.models.weight_files import checkpoint_folder
from reid_gen.training.run_folder import CONFIG

if TYPE_CHECKING:
    from reid_gen.generators.renderer import ViewRenderer


@dataclass(frozen=True)
class SavedRun:
    """A run opened for generating views.

    Attributes:
        checkpoint: Checkpoint folder.
        config: Settings of the run.
        generator: Settings of its generator.
        renderer: Renderer of views that uses its networks.
    """

    checkpoint: Path
    config: Config
    generator: BodyConditioned
    renderer: ViewRenderer


def open_run(run: Path, settings: Mapping[str, object] = MappingProxyType({})) -> SavedRun:
    """Open a run that trained a generator.

    Args:
        run: Run or checkpoint folder.
        settings: Settings that replace the run's own, by dotted name; None keeps the run's.

    Raises:
        UserError: If there is no such run, or a setting does not fit it.
    """
    overrides = [f"{name}={value}" for name, value in settings.items() if value is not None]
    config = load_config(checkpoint_folder(run).parent / CONFIG, overrides)

    # Settings are checked before torch loads, so that a typing error is named at once.
    from reid_gen.builders.generator import build_view_renderer
    from reid_gen.models.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(run)
    renderer = build_view_renderer(config, checkpoint)
    assert isinstance(config.generator, BodyConditioned)
    return SavedRun(checkpoint, config, config.generator, renderer)

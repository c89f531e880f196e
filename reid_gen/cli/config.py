"""``reid-gen config``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Group
from reid_gen.cli.options import INPUT, SET


@click.group(cls=Group)
def config() -> None:
    """Inspect configuration files."""


@config.command()
@click.argument("file", type=INPUT)
@SET
def show(file: Path, overrides: tuple[str, ...]) -> None:
    """Print all settings of FILE and mark the defaults.

    Example: reid-gen config show configs/gcl_market.yaml
    """
    from reid_gen.config.dump import dump_config
    from reid_gen.config.load import explicit_keys, load_config

    settings = load_config(file, overrides)
    click.echo(dump_config(settings, explicit_keys(file, overrides)), nl=False)

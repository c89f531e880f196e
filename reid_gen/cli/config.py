"""``reid-gen config``."""

from __future__ import annotations

from pathlib import Path

import click

from reid_gen.cli.command import Group
from reid_gen.cli.options import INPUT


@click.group(cls=Group)
def config() -> None:
    """Look at configuration files."""


@config.command()
@click.argument("file", type=INPUT)
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a setting.")
def show(file: Path, overrides: tuple[str, ...]) -> None:
    """Print all settings of FILE; those that it does not give are marked as defaults.

    Example: reid-gen config show configs/gcl_market.yaml
    """
    from reid_gen.config.dump import dump_config
    from reid_gen.config.load import explicit_keys, load_config

    settings = load_config(file, overrides)
    click.echo(dump_config(settings, explicit_keys(file, overrides)), nl=False)

"""``reid-gen``: the root command. Only the module of the command that runs is imported."""

from __future__ import annotations

import importlib
import io
import os
import sys

import click

from reid_gen import __version__
from reid_gen.errors import OtherProcessError, UserError
from reid_gen.runtime.memory import out_of_memory

COMMANDS = {
    "train": "train:train",
    "evaluate": "evaluate:evaluate",
    "extract": "extract:extract",
    "search": "search:search",
    "export": "export:export",
    "data": "data:data",
    "cluster": "cluster:cluster",
    "rank": "cluster:rank",
    "meshes": "meshes:meshes",
    "generate": "generate:generate",
    "merge": "merge:merge",
    "tune": "tune:tune",
    "report": "report:report",
    "serve": "serve:serve",
    "views": "views:views",
    "evaluate-views": "evaluate_views:evaluate_views",
    "zoo": "zoo:zoo",
    "config": "config:config",
}
"""Command -> module and function."""


class _LazyGroup(click.Group):
    """Group that imports the module of a command on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(
            importlib.import_module(f"reid_gen.cli.{module}"), function
        )
        return command


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reid-gen")
@click.pass_context
def root(context: click.Context) -> None:
    """Train and use person re-identification models on unlabelled camera crops."""
    command, processes = context.invoked_subcommand, os.environ.get("WORLD_SIZE", "1")
    if command != "train" and processes != "1":
        raise UserError(
            f"reid-gen {command} runs in one process, and WORLD_SIZE is {processes}: start it "
            "without torchrun or accelerate launch, or unset WORLD_SIZE"
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user error prints one message and exits with code 1.

    Args:
        arguments: Command line arguments without the program name; None takes ``sys.argv``.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names can contain bytes that are not valid text; stderr escapes those by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        root.main(args=arguments, prog_name="reid-gen", standalone_mode=False)
    except OtherProcessError:
        sys.exit(1)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:  # after click.Abort, which is a RuntimeError
        if (reason := out_of_memory(error)) is None:
            raise
        way_out = "lower the number of images per pass or their size, or end what else takes memory"
        click.echo(f"error: out of memory: {reason}; {way_out}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""``--set a.b=c``: overrides of single settings on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reid_gen.config.tree import MAX_DEPTH, KeyPath, parse_yaml
from reid_gen.errors import UserError

MAX_SHOWN = 200
"""Characters of an override that an error message shows."""


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Set values in a tree of plain mappings and lists.

    Args:
        tree: Tree of settings, changed in place.
        overrides: ``dotted.path=value`` each; the value is parsed as YAML, list items are
            addressed by index.

    Returns:
        Key path of each value that was set -> the ``--set`` option that set it, for messages.

    Raises:
        UserError: If there is no ``=``, the value is not valid YAML, or the path does not exist.
    """
    origins: dict[KeyPath, str] = {}
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals or not dotted:
            raise UserError(f"--set {override}: write it as key.path=value")
        shortened = override if len(override) < MAX_SHOWN else f"{override[:MAX_SHOWN]}..."
        origin = f"--set {shortened}"
        origins[_set_value(tree, dotted.split("."), _parse(value, origin), override)] = origin
    return origins


def _parse(value: str, origin: str) -> Any:
    return parse_yaml(value, lambda line: origin)[0]


def _set_value(tree: Any, keys: list[str], value: Any, override: str) -> KeyPath:
    if len(keys) > MAX_DEPTH:
        raise UserError(
            f"--set {override[:80]}...: a path has at most {MAX_DEPTH} keys, got {len(keys)}"
        )
    path: list[str | int] = []
    node = tree
    for depth, name in enumerate(keys):
        key: str | int = name
        if isinstance(node, list):
            if name not in map(str, range(len(node))):
                raise UserError(
                    f"--set {override}: {'.'.join(keys[:depth])} is a list of {len(node)}; "
                    f"give a number from 0 to {len(node) - 1} instead of {name!r}"
                )
            key = int(name)
        elif not isinstance(node, dict):
            raise UserError(
                f"--set {override}: {'.'.join(keys[:depth])} is the value {node!r} and has no keys"
            )
        path.append(key)
        if depth == len(keys) - 1:
            node[key] = value
        elif isinstance(node, dict):
            node = node.setdefault(key, {})
        else:
            node = node[key]
    return tuple(path)

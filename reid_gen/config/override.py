"""``--set a.b=c``: changing one value of a configuration from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reid_gen.config.tree import DEEPEST, KeyPath, parse_yaml
from reid_gen.errors import UserError

LONG = 200
"""Characters of an override that a message shows."""


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Set values in a tree of plain mappings and lists.

    Args:
        tree: Changed in place.
        overrides: Each ``dotted.path=value``; the value is read as YAML, list items by number.

    Returns:
        For each path that was set, the override that did it.

    Raises:
        UserError: If there is no ``=``, the value is no YAML, or the path leads nowhere.
    """
    origins: dict[KeyPath, str] = {}
    for text in overrides:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise UserError(f"--set {text}: write it as key.path=value")
        origin = f"--set {text if len(text) < LONG else f'{text[:LONG]}...'}"
        origins[_set(tree, dotted.split("."), _parsed(value, origin), text)] = origin
    return origins


def _parsed(value: str, origin: str) -> Any:
    return parse_yaml(value, lambda line: origin)[0]


def _set(tree: Any, words: list[str], value: Any, text: str) -> KeyPath:
    if len(words) > DEEPEST:
        raise UserError(f"--set {text[:80]}...: a path of {len(words)} keys leads to no setting")
    path: list[str | int] = []
    place = tree
    for depth, word in enumerate(words):
        key: str | int = word
        if isinstance(place, list):
            if word not in map(str, range(len(place))):
                raise UserError(
                    f"--set {text}: {'.'.join(words[:depth])} is a list of {len(place)}; "
                    f"give a number from 0 to {len(place) - 1} instead of {word!r}"
                )
            key = int(word)
        elif not isinstance(place, dict):
            raise UserError(
                f"--set {text}: {'.'.join(words[:depth])} is the value {place!r} and holds no keys"
            )
        path.append(key)
        if depth == len(words) - 1:
            place[key] = value
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            place = place[key]
    return tuple(path)

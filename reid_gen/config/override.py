"""``--set a.b=c``: changing one value of a configuration from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reid_gen.errors import UserError

Path = tuple[str | int, ...]


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[Path, str]:
    """Set values in a tree of plain mappings and lists.

    Args:
        tree: Changed in place.
        overrides: Each ``dotted.path=value``; the value is read as YAML, list items by number.

    Returns:
        For each path that was set, the override that did it.

    Raises:
        UserError: If there is no ``=``, the value is no YAML, or the path leads nowhere.
    """
    origins: dict[Path, str] = {}
    for text in overrides:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise UserError(f"--set {text}: write it as key.path=value")
        try:
            parsed = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise UserError(f"--set {text}: {value!r} is no YAML value") from error
        path = _set(tree, dotted.split("."), parsed, text)
        origins[path] = f"--set {text}"
    return origins


def _set(tree: Any, words: list[str], value: Any, text: str) -> Path:
    path: list[str | int] = []
    place = tree
    for depth, word in enumerate(words):
        key: str | int = word
        if isinstance(place, list):
            if not word.isdigit() or int(word) >= len(place):
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

"""YAML as plain values with their lines, within bounds: ten lines can ask for 10^9 values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from reid_gen.errors import UserError

KeyPath = tuple[str | int, ...]
Origin = Callable[[int], str]
"""From a line, counted from 1, to what names it in a message."""
MOST_BYTES = 100_000
MOST_VALUES = 10_000
DEEPEST = 50
YAML_TYPES = ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")
PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in YAML_TYPES}
MERGE = "tag:yaml.org,2002:merge"


def read_tree(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Read a file of settings.

    Args:
        path: YAML 1.2, without tags and merge keys.

    Returns:
        Plain values, and the line of each.

    Raises:
        UserError: If it is no such file, naming the line.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is a folder or a device, and a file is wanted")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise OSError(f"it has {size} bytes, and settings have {MOST_BYTES} at most")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a configuration file: {error}") from error
    tree, lines = parse_yaml(text, lambda line: f"{path}:{line}")
    if not isinstance(tree, dict):
        raise UserError(f"{path}:1: a mapping of settings is wanted, such as 'name: my_run'")
    return tree, lines


def parse_yaml(text: str, origin: Origin) -> tuple[Any, dict[KeyPath, int]]:
    """Read plain values: mappings, lists, texts, numbers, true, false and null.

    Args:
        text: YAML 1.2.
        origin: Names a line in messages.

    Returns:
        The value, and the line of each value in it.

    Raises:
        UserError: Naming the line, if the text is no YAML or says more than plain values.
    """
    try:
        yaml = YAML(typ="safe", pure=True)
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{origin(line)}: this is no YAML: {error.problem}") from error
    except RecursionError as error:
        raise UserError(f"{origin(1)}: {_depth()}") from error
    except (YAMLError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{origin(1)}: this is no YAML: {reason}") from error
    tree = _Tree(yaml.constructor, origin)
    value = None if node is None else tree.plain(node, ())
    return value, tree.lines


def _depth() -> str:
    return f"values lie more than {DEEPEST} levels deep; no setting does"


class _Tree:
    """Makes values of nodes, and notes their lines."""

    def __init__(self, constructor: Any, origin: Origin) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._constructor = constructor
        self._origin = origin
        self._values = 0

    def plain(self, node: Any, place: KeyPath) -> Any:
        """The value of a node; an alias counts as often as it is used."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._fault(node, f"the aliases stand for more than {MOST_VALUES} values")
        if len(place) > DEEPEST:
            raise self._fault(node, _depth())
        if node.tag not in PLAIN:
            raise self._fault(node, f"the tag {node.tag} is not read; give a plain value")
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            for position, item in enumerate(node.value):
                self.lines[(*place, position)] = item.start_mark.line + 1
            return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, place: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._fault(key, "a key must be a text")
            if key.tag == MERGE:
                raise self._fault(key, "merge keys (<<) are not read; write the settings out")
            if key.value in values:
                raise self._fault(key, f"{key.value}: this key is given twice; keep one")
            self.lines[(*place, key.value)] = key.start_mark.line + 1
            values[key.value] = self.plain(value, (*place, key.value))
        return values

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            value = self._constructor.construct_object(node)
        except Exception as error:  # its readers of numbers and dates raise almost anything
            kind = str(node.tag).rpartition(":")[2]
            shown = node.value if len(node.value) < 80 else f"{node.value[:80]}..."
            raise self._fault(node, f"{shown!r} is no {kind}; put a text in quotes") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._fault(node, f"a number must be finite, got {node.value}")
        # A shell expands this only where it stands at the beginning of a word.
        if isinstance(value, str) and (value == "~" or value.startswith("~/")):
            return str(Path(value).expanduser())
        return value

    def _fault(self, node: Any, text: str) -> UserError:
        return UserError(f"{self._origin(node.start_mark.line + 1)}: {text}")

"""Bounded YAML parsing to plain values with their line numbers.

The limits guard against aliases: ten lines of YAML can expand to 10^9 values.
"""

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
"""Line number, counted from 1 -> its name in an error message."""
MAX_BYTES = 100_000
MAX_VALUES = 10_000
MAX_DEPTH = 50
YAML_TYPES = ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in YAML_TYPES}
MERGE_TAG = "tag:yaml.org,2002:merge"


def read_tree(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Read a configuration file without validating its settings.

    Args:
        path: YAML 1.2 file without tags and merge keys.

    Returns:
        Plain values, and the line of each value.

    Raises:
        UserError: If the file cannot be read or is not such YAML, with the line.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is a folder or a device, not a regular file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise OSError(f"it has {size} bytes; a configuration has at most {MAX_BYTES}")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a configuration file: {error}") from error
    tree, lines = parse_yaml(text, lambda line: f"{path}:{line}")
    if not isinstance(tree, dict):
        raise UserError(f"{path}:1: must be a mapping of settings, such as 'name: my_run'")
    return tree, lines


def parse_yaml(text: str, origin: Origin) -> tuple[Any, dict[KeyPath, int]]:
    """Parse plain values: mappings, lists, strings, numbers, true, false and null.

    Args:
        text: YAML 1.2.
        origin: Gives the name of a line in error messages.

    Returns:
        The value, and the line of each value in it.

    Raises:
        UserError: If the text is not valid YAML or holds more than plain values, with the line.
    """
    try:
        yaml = YAML(typ="safe", pure=True)
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{origin(line)}: invalid YAML: {error.problem}") from error
    except RecursionError as error:
        raise UserError(f"{origin(1)}: {_depth_message()}") from error
    except (YAMLError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{origin(1)}: invalid YAML: {reason}") from error
    converter = _NodeConverter(yaml.constructor, origin)
    value = None if node is None else converter.convert(node, ())
    return value, converter.lines


def _depth_message() -> str:
    return f"values are nested more than {MAX_DEPTH} levels deep; no setting is"


class _NodeConverter:
    """Converts YAML nodes to plain values and records their lines."""

    def __init__(self, constructor: Any, origin: Origin) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._constructor = constructor
        self._origin = origin
        self._value_count = 0

    def convert(self, node: Any, path: KeyPath) -> Any:
        """Convert a node; an alias counts towards the limits each time it is used."""
        self._value_count += 1
        if self._value_count > MAX_VALUES:
            raise self._error(node, f"the aliases expand to more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            raise self._error(node, _depth_message())
        if node.tag not in PLAIN_TAGS:
            raise self._error(node, f"the tag {node.tag} is not supported; give a plain value")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            for i, item in enumerate(node.value):
                self.lines[(*path, i)] = item.start_mark.line + 1
            return [self.convert(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key, "a key must be a string")
            if key.tag == MERGE_TAG:
                raise self._error(key, "merge keys (<<) are not supported; write the settings out")
            if key.value in values:
                raise self._error(key, f"{key.value}: this key is given twice; keep one")
            self.lines[(*path, key.value)] = key.start_mark.line + 1
            values[key.value] = self.convert(value, (*path, key.value))
        return values

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            value = self._constructor.construct_object(node)
        except Exception as error:  # ruamel's number and date parsers raise almost anything
            type_name = str(node.tag).rpartition(":")[2]
            shown = node.value if len(node.value) < 80 else f"{node.value[:80]}..."
            raise self._error(
                node, f"{shown!r} is not a valid {type_name}; quote it if it is a string"
            ) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(node, f"a number must be finite, got {node.value}")
        # A shell expands ~ only at the beginning of a word.
        if isinstance(value, str) and (value == "~" or value.startswith("~/")):
            return str(Path(value).expanduser())
        return value

    def _error(self, node: Any, message: str) -> UserError:
        return UserError(f"{self._origin(node.start_mark.line + 1)}: {message}")

"""The one strict reader of configuration files: all faults at once, each with its line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from reid_gen.config.override import apply_overrides
from reid_gen.config.schema import Config
from reid_gen.errors import UserError

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read the configuration file of an experiment; see :func:`load_settings`."""
    return load_settings(path, Config, overrides)


def load_settings(path: Path, model: type[Model], overrides: Sequence[str] = ()) -> Model:
    """Read a configuration file.

    Args:
        path: YAML 1.2 file.
        model: What it may say.
        overrides: ``key.path=value`` each; they win over the file.

    Returns:
        The settings.

    Raises:
        UserError: Listing every fault as ``file:line: key: what is wrong``.
    """
    tree, lines = _read(path)
    origins = {
        **{place: f"{path}:{line}" for place, line in lines.items()},
        **apply_overrides(tree, overrides),
    }
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = [
            _describe(fault, tree, origins, str(path), model)
            for fault in error.errors()
            if not (fault["type"] == "too_short" and fault["input"])  # follows from a bad item
        ]
        raise UserError("\n".join(faults)) from error


def given_places(path: Path, overrides: Sequence[str] = ()) -> set[Place]:
    """Places of the values that a file and overrides set themselves; the rest are defaults."""
    tree, lines = _read(path)
    return {*lines, *apply_overrides(tree, overrides)}


def _read(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """Plain values, and the line of every key."""
    try:
        content = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a configuration file: {error}") from error
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        key = str(error.problem).split('"')[1]
        raise UserError(f"{path}:{line}: {key}: this key is given twice; keep one") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: this is no YAML: {error.problem}") from error
    except YAMLError as error:
        raise UserError(f"{path}: this is no YAML: {error}") from error
    if not isinstance(content, CommentedMap):
        raise UserError(f"{path}:1: a mapping of settings is wanted, such as 'name: my_run'")
    lines: dict[Place, int] = {}
    tree = _plain(content, (), lines)
    assert isinstance(tree, dict)
    return tree, lines


def _plain(node: Any, place: Place, lines: dict[Place, int]) -> Any:
    if isinstance(node, CommentedMap):
        for key in node:
            lines[(*place, key)] = node.lc.key(key)[0] + 1
        return {str(key): _plain(value, (*place, key), lines) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for position in range(len(node)):
            lines[(*place, position)] = node.lc.item(position)[0] + 1
        return [_plain(value, (*place, i), lines) for i, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _describe(
    fault: ErrorDetails,
    tree: dict[str, Any],
    origins: dict[Place, str],
    file: str,
    model: type[BaseModel],
) -> str:
    place = _in_tree(fault["loc"], tree)
    origin = next(
        (origins[place[:n]] for n in range(len(place), 0, -1) if place[:n] in origins), file
    )
    dotted = ".".join(str(part) for part in place)
    return f"{origin}: {dotted + ': ' if dotted else ''}{_words(fault, place, model)}"


def _in_tree(location: Place, tree: dict[str, Any]) -> Place:
    """Drop the tags that pydantic puts into the path of a union's member."""
    node: Any = tree
    kept: list[str | int] = []
    for position, part in enumerate(location):
        if isinstance(node, dict) and part not in node and position < len(location) - 1:
            continue
        kept.append(part)
        node = _child(node, part)
    return tuple(kept)


def _child(node: Any, part: str | int) -> Any:
    try:
        return node[part]
    except (KeyError, IndexError, TypeError):
        return None


def _words(fault: ErrorDetails, place: Place, model: type[BaseModel]) -> str:
    """What is wrong, in the user's words."""
    kind, value, facts = fault["type"], fault.get("input"), fault.get("ctx", {})
    got = f"got {json.dumps(value, default=str)}"
    match kind:
        case "extra_forbidden":
            return _unknown_key(place, model)
        case "missing":
            return "this key is missing; add it"
        case "union_tag_invalid":
            return f"kind must be one of {facts['expected_tags']}, got {facts['tag']!r}"
        case "union_tag_not_found":
            return "kind is missing; add it (for example kind: fixed)"
        case "literal_error":
            return f"must be {facts['expected']}, {got}"
        case "value_error":
            return str(facts["error"])
        case "int_type" | "int_from_float" | "int_parsing":
            return f"must be an integer, {got}"
        case "float_type":
            return f"must be a number, {got}"
        case "bool_type":
            return f"must be true or false, {got}"
        case "string_type" | "path_type":
            return f"must be a text, {got}"
        case "model_type" | "model_attributes_type":
            return f"must be a mapping of keys, {got}"
        case "tuple_type":
            return f"must be a list, {got}"
        case _:
            rule = fault["msg"].replace("Input should be", "must be").replace("should", "must")
            return f"{rule}, {got}"


def _unknown_key(place: Place, model: type[BaseModel]) -> str:
    known = _fields(place[:-1], model)
    if place[-1] in known:
        return "this key belongs to another kind than the one given; remove it or change kind"
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown key; allowed here: {', '.join(known)}{hint}"


def _fields(place: Place, root: type[BaseModel]) -> list[str]:
    """Names of the keys allowed at a place of the tree, of all members of a union."""
    models: list[Any] = [root]
    for part in place:
        annotations = [
            model.model_fields[part].annotation
            for model in models
            if isinstance(part, str) and part in model.model_fields
        ]
        if annotations:
            models = [model for annotation in annotations for model in _models(annotation)]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if get_origin(annotation) is None and isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models(argument)]

"""Strict reading of configuration files: all errors at once, each with its line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reid_gen.config.override import apply_overrides
from reid_gen.config.renamed import RENAMED
from reid_gen.config.schema import Config
from reid_gen.config.tree import KeyPath, read_tree
from reid_gen.errors import UserError, join_some

Model = TypeVar("Model", bound=BaseModel)
MAX_SHOWN = 200
"""Characters of a value that an error message shows."""
ALIASES = {
    **dict.fromkeys(("lr", "base_lr", "rate"), "learning_rate"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("batch_size", "bs"), "batch"),
    **dict.fromkeys(("num_epochs", "max_epochs", "epoch"), "epochs"),
    **dict.fromkeys(("iters", "steps"), "iterations"),
    **dict.fromkeys(("num_instances", "k"), "instances"),
    **dict.fromkeys(("arch", "network"), "backbone"),
    **dict.fromkeys(("pretrained", "checkpoint"), "weights"),
    **dict.fromkeys(("temp", "tau"), "temperature"),
    **dict.fromkeys(("data_dir", "path"), "root"),
    **dict.fromkeys(("num_workers", "threads"), "workers"),
    "min_pts": "min_samples",
    "dataset": "data",
    "optim": "optimizer",
    "warmup": "warmup_epochs",
    "output": "runs",
}
"""Name of a setting in other programs -> its name here."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read the configuration file of an experiment; see :func:`load_settings`."""
    return load_settings(path, Config, overrides)


def load_settings(path: Path, model: type[Model], overrides: Sequence[str] = ()) -> Model:
    """Read a configuration file.

    Args:
        path: YAML 1.2 file.
        model: Schema of the file.
        overrides: ``key.path=value`` each; they take precedence over the file.

    Returns:
        The validated settings.

    Raises:
        UserError: If a setting is invalid; lists every error as ``file:line: key: message``.
    """
    tree, lines = read_tree(path)
    origins = {
        **{key_path: f"{path}:{line}" for key_path, line in lines.items()},
        **apply_overrides(tree, overrides),
    }
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        messages = [
            _describe(details, tree, origins, str(path), model)
            for details in error.errors()
            # pydantic drops an invalid item of a list and then finds the list too short.
            if not (details["type"] == "too_short" and details["input"])
        ]
        raise UserError("\n".join(messages)) from error


def explicit_keys(path: Path, overrides: Sequence[str] = ()) -> set[KeyPath]:
    """Return the key paths that a file or an override sets; all others have their default."""
    tree, lines = read_tree(path)
    return {*lines, *apply_overrides(tree, overrides)}


def _describe(
    details: ErrorDetails,
    tree: dict[str, Any],
    origins: dict[KeyPath, str],
    file: str,
    model: type[BaseModel],
) -> str:
    path = _without_union_tags(details["loc"], tree)
    origin = next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), file)
    dotted = ".".join(str(part) for part in path)
    return f"{origin}: {dotted + ': ' if dotted else ''}{_message(details, path, model)}"


def _without_union_tags(location: KeyPath, tree: dict[str, Any]) -> KeyPath:
    """Remove the tags that pydantic inserts into the key path of a union's member."""
    node: Any = tree
    path: list[str | int] = []
    for position, part in enumerate(location):
        if isinstance(node, dict) and part not in node and position < len(location) - 1:
            continue
        path.append(part)
        node = _child(node, part)
    return tuple(path)


def _child(node: Any, part: str | int) -> Any:
    try:
        return node[part]
    except (KeyError, IndexError, TypeError):
        return None


def _message(details: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    """Describe what is wrong with a setting in terms of YAML instead of Python."""
    value, context = details.get("input"), details.get("ctx", {})
    shown = json.dumps(value, default=str)
    got = f"got {shown if len(shown) < MAX_SHOWN else f'{shown[:MAX_SHOWN]}...'}"
    match details["type"]:
        case "extra_forbidden":
            return _unknown_key(path, model)
        case "missing":
            return "this key is missing; add it"
        case "union_tag_invalid":
            return f"kind must be one of {context['expected_tags']}, got {context['tag']!r}"
        case "union_tag_not_found":
            return "kind is missing; add it (for example kind: fixed)"
        case "literal_error":
            return f"must be {context['expected']}, {got}"
        case "value_error":
            return str(context["error"])
        case "int_type" | "int_from_float" | "int_parsing":
            return f"must be an integer, {got}"
        case "float_type":
            return f"must be a number, {got}"
        case "bool_type":
            return f"must be true or false, {got}"
        case "string_type" | "path_type" if isinstance(value, bool | int | float | date):
            dotted = ".".join(map(str, path))
            return (
                f"must be a string, {got}; put it in quotes, which a shell must pass on: "
                f'{path[-1]}: "..." in a file, --set \'{dotted}="..."\' on the command line'
            )
        case "string_type" | "path_type":
            return f"must be a string, {got}"
        case "model_type" | "model_attributes_type":
            return f"must be a mapping of keys, {got}"
        case "tuple_type":
            return f"must be a list, {got}"
        case _:
            rule = details["msg"].replace("Input should be", "must be").replace("should", "must")
            return f"{rule}, {got}"


def _unknown_key(path: KeyPath, model: type[BaseModel]) -> str:
    allowed = _allowed_keys(path[:-1], model)
    if path[-1] in allowed:
        return "this key belongs to another kind than the one given; remove it or change kind"
    if (new := RENAMED.get(str(path[-1]))) in allowed:
        return f"this key was renamed; write {new}"
    suggestions = _suggestions(str(path[-1]), allowed, model)
    hint = f"; did you mean {join_some(suggestions)}?" if suggestions else ""
    return f"unknown key; allowed here: {', '.join(allowed)}{hint}"


def _suggestions(key: str, allowed: Sequence[str], model: type[BaseModel]) -> list[str]:
    """Suggest settings for an unknown key: by alias, here or in other sections, or by spelling."""
    name = ALIASES.get(key.lower(), key)
    if name in allowed:
        return [name]
    paths = list(dict.fromkeys(_dotted_paths(model)))
    elsewhere = [path for path in paths if path.rpartition(".")[2] == name]
    if elsewhere:
        return elsewhere
    leaves = [path.rpartition(".")[2] for path in paths]
    similar = difflib.get_close_matches(key, [*allowed, *leaves], n=1)
    here = [leaf for leaf in similar if leaf in allowed]
    return here or [path for path, leaf in zip(paths, leaves, strict=True) if leaf in similar]


def _dotted_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of all settings: of all union members, and of first list items."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        item = ".0" if "tuple" in str(field.annotation) else ""
        for section in _models(field.annotation):
            yield from _dotted_paths(section, f"{prefix}{name}{item}.")


def _allowed_keys(path: KeyPath, root: type[BaseModel]) -> list[str]:
    """List the keys that are allowed below a key path, of all members of a union."""
    models: list[Any] = [root]
    for part in path:
        annotations = [
            model.model_fields[part].annotation
            for model in models
            if isinstance(part, str) and part in model.model_fields
        ]
        if annotations:
            models = [model for annotation in annotations for model in _models(annotation)]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """List the models in a type annotation, such as the members of a union."""
    if get_origin(annotation) is None and isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in get_args(annotation) for model in _models(argument)]

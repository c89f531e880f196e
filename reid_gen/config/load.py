"""The one strict reader of configuration files: all faults at once, each with its line."""

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
LONG = 200
"""Characters of a value that a message shows."""
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
"""What other programs call a setting -> our name."""


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
    tree, lines = read_tree(path)
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


def given_places(path: Path, overrides: Sequence[str] = ()) -> set[KeyPath]:
    """Places of the values that a file and overrides set themselves; the rest are defaults."""
    tree, lines = read_tree(path)
    return {*lines, *apply_overrides(tree, overrides)}


def _describe(
    fault: ErrorDetails,
    tree: dict[str, Any],
    origins: dict[KeyPath, str],
    file: str,
    model: type[BaseModel],
) -> str:
    place = _in_tree(fault["loc"], tree)
    origin = next(
        (origins[place[:n]] for n in range(len(place), 0, -1) if place[:n] in origins), file
    )
    dotted = ".".join(str(part) for part in place)
    return f"{origin}: {dotted + ': ' if dotted else ''}{_words(fault, place, model)}"


def _in_tree(location: KeyPath, tree: dict[str, Any]) -> KeyPath:
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


def _words(fault: ErrorDetails, place: KeyPath, model: type[BaseModel]) -> str:
    """What is wrong, in the user's words."""
    kind, value, facts = fault["type"], fault.get("input"), fault.get("ctx", {})
    shown = json.dumps(value, default=str)
    got = f"got {shown if len(shown) < LONG else f'{shown[:LONG]}...'}"
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
        case "string_type" | "path_type" if isinstance(value, bool | int | float | date):
            dotted = ".".join(map(str, place))
            return (
                f"must be a text, {got}; put it in quotes, which a shell must pass on: "
                f'{place[-1]}: "..." in a file, --set \'{dotted}="..."\' on the command line'
            )
        case "string_type" | "path_type":
            return f"must be a text, {got}"
        case "model_type" | "model_attributes_type":
            return f"must be a mapping of keys, {got}"
        case "tuple_type":
            return f"must be a list, {got}"
        case _:
            rule = fault["msg"].replace("Input should be", "must be").replace("should", "must")
            return f"{rule}, {got}"


def _unknown_key(place: KeyPath, model: type[BaseModel]) -> str:
    known = _fields(place[:-1], model)
    if place[-1] in known:
        return "this key belongs to another kind than the one given; remove it or change kind"
    if (new := RENAMED.get(str(place[-1]))) in known:
        return f"this key was renamed; write {new}"
    close = _meant(str(place[-1]), known, model)
    hint = f"; did you mean {join_some(close)}?" if close else ""
    return f"unknown key; allowed here: {', '.join(known)}{hint}"


def _meant(key: str, known: Sequence[str], model: type[BaseModel]) -> list[str]:
    """What an unknown key may mean: by its usual name, here or elsewhere, or by its spelling."""
    usual = ALIASES.get(key.lower(), key)
    if usual in known:
        return [usual]
    paths = list(dict.fromkeys(_paths(model)))
    elsewhere = [path for path in paths if path.rpartition(".")[2] == usual]
    if elsewhere:
        return elsewhere
    leaves = [path.rpartition(".")[2] for path in paths]
    similar = difflib.get_close_matches(key, [*known, *leaves], n=1)
    here = [name for name in similar if name in known]
    return here or [path for path, leaf in zip(paths, leaves, strict=True) if leaf in similar]


def _paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Dotted paths of all settings, of all members of unions; of lists, of the first item."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        item = ".0" if "tuple" in str(field.annotation) else ""
        for inner in _models(field.annotation):
            yield from _paths(inner, f"{above}{name}{item}.")


def _fields(place: KeyPath, root: type[BaseModel]) -> list[str]:
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

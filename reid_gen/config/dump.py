"""Writing a configuration as YAML with all defaults filled in."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from reid_gen.config.schema import Config

KeyPath = tuple[str | int, ...]


def dump_config(config: Config, explicit: Collection[KeyPath] | None = None) -> str:
    """Write all settings as YAML that :func:`~reid_gen.config.load.load_config` reads back equal.

    Args:
        config: Settings to write.
        explicit: Key paths that the user set; all others get the comment ``# default``. None
            writes no comments.

    Returns:
        YAML text.
    """
    yaml = YAML(typ="rt", pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _write_null)
    buffer = io.StringIO()
    yaml.dump(_with_comments(config.model_dump(mode="json"), (), explicit), buffer)
    return buffer.getvalue()


def _write_null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _with_comments(node: Any, path: KeyPath, explicit: Collection[KeyPath] | None) -> Any:
    if isinstance(node, dict):
        mapping = CommentedMap()
        for key, value in node.items():
            key_path = (*path, key)
            mapping[key] = _with_comments(value, key_path, explicit)
            is_default = explicit is not None and key_path not in explicit
            if is_default and not isinstance(value, dict | list):
                mapping.yaml_add_eol_comment("default", key)
        return mapping
    if isinstance(node, list):
        return CommentedSeq(
            [_with_comments(value, (*path, i), explicit) for i, value in enumerate(node)]
        )
    return node

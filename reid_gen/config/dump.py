"""Writing settings out in full."""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from reid_gen.config.schema import Config

KeyPath = tuple[str | int, ...]


def dump_config(config: Config, given: Collection[KeyPath] | None = None) -> str:
    """Write all settings as YAML that :func:`~reid_gen.config.load.load_config` reads back equal.

    Args:
        config: The settings.
        given: Places that were set by hand; all others are marked ``# default``. None marks none.

    Returns:
        YAML text.
    """
    yaml = YAML(typ="rt", pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _write_null)
    buffer = io.StringIO()
    yaml.dump(_commented(config.model_dump(mode="json"), (), given), buffer)
    return buffer.getvalue()


def _write_null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _commented(node: Any, place: KeyPath, given: Collection[KeyPath] | None) -> Any:
    if isinstance(node, dict):
        mapping = CommentedMap()
        for key, value in node.items():
            here = (*place, key)
            mapping[key] = _commented(value, here, given)
            if given is not None and here not in given and not isinstance(value, dict | list):
                mapping.yaml_add_eol_comment("default", key)
        return mapping
    if isinstance(node, list):
        return CommentedSeq(
            [_commented(value, (*place, position), given) for position, value in enumerate(node)]
        )
    return node

"""YAML whose values are all texts: `0`, `yes` and `2024-01-01` are names of classes there.

YAML itself would make a number, true and a date of them. A key that stands twice is refused, which
PyYAML lets pass, and so are references, by which a few lines can mean gigabytes.
"""

from __future__ import annotations

from typing import Any

import yaml


class _TextLoader(yaml.BaseLoader):
    """PyYAML's loader of texts, minus its habit of letting the last of two equal keys win."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Build a node; refuse a reference to another one."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a reference (*name); write out what it means")
        return super().compose_node(parent, index)


def _build_mapping(loader: _TextLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.YAMLError(f"a list or mapping as key in line {line}; write a text")
        if key_node.value in mapping:
            raise yaml.YAMLError(f"the key '{key_node.value}' again in line {line}; keep one")
        mapping[key_node.value] = loader.construct_object(value_node, deep=True)
    return mapping


_TextLoader.add_constructor("tag:yaml.org,2002:map", _build_mapping)


def parse_plain_yaml(text: str) -> Any:
    """Return the value of a YAML document: texts, lists and mappings; else a ValueError."""
    try:
        return yaml.load(text, Loader=_TextLoader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("lists or mappings nested too deeply") from error

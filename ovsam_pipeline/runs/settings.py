"""A config file and the command line → the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.checks import parse_duration, read_config_file
from ovsam_pipeline.settings.label import LabelConfig

_LISTS = ("sources", "classes")


# Evaluation and `--retry-failed OUT` set these; they are no flags of `ovsam label`.
_INTERNAL = ("protocol", "only_failed")


def load_label_config(config_file: str | None, given: Mapping[str, Any]) -> LabelConfig:
    """Join a config file and the values given on the command line; the latter win.

    Args:
        config_file: path of a YAML file, or the name of a packaged one ("label-quick"); None for
            none.
        given: settings by name; None values were not given.

    Raises:
        ConfigError: the file cannot be read, has an unknown key, or a value cannot work.
    """
    values: dict[str, Any] = {}
    if config_file:
        known = {field.name for field in fields(LabelConfig)} - set(_INTERNAL)
        values = read_config_file(config_file, known, "label")
    values.update({name: value for name, value in given.items() if value is not None})
    for name in _LISTS:
        if isinstance(values.get(name), str):
            values[name] = _split_names(values[name]) if name == "classes" else (values[name],)
        elif isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if isinstance(values.get("time_limit"), str):
        values["time_limit"] = parse_duration("time_limit", values["time_limit"])
    values.setdefault("sources", ())
    if values.get("retry_failed"):
        from ovsam_pipeline.output.earlier_run import complete_retry

        values = complete_retry(values)
    return LabelConfig(**values)


def _split_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ConfigError(f"expected --classes as names with commas between, got {text!r}")
    return names

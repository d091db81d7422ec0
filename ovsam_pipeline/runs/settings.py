"""A config file and given values → the settings of a run; the latter win."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import settle_values


def load_label_config(config_file: str | None, given: Mapping[str, Any]) -> LabelConfig:
    """Join a config file and the values given by name; None values were not given.

    `config_file` is the path of a YAML file, or the name of a packaged one ("label-nightly").
    `--retry-failed OUT` adds the settings of the run that filled OUT.
    """
    values: dict[str, Any] = {}
    if config_file:
        from ovsam_pipeline.settings.config_file import read_config_file

        values = read_config_file(config_file, LabelConfig, "label")
    not_none = {name: value for name, value in given.items() if value is not None}
    values |= settle_values(LabelConfig, not_none)
    if values.get("retry_failed"):
        from ovsam_pipeline.output.earlier_run import complete_retry

        values = complete_retry(values)
    return LabelConfig(**values)

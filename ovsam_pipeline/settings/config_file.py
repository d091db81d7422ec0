"""A YAML file of settings, packaged or somebody's own → its values by setting name, strictly.

Keys are long flags without the dashes; plain values, read by `ovsam/checked_yaml.py`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ovsam.checked_yaml import parse_yaml
from ovsam.errors import ConfigError, describe_error, show_value
from ovsam.strict import suggest_keys, suggest_names
from ovsam_pipeline.settings.setting import Panel, list_settings, settle_values

_EVAL_PREFIX = "paper-table-"


def read_config_file(
    config_file: str, cls: type, command: Literal["label", "eval"]
) -> dict[str, Any]:
    """Return the settings of a YAML file by name, as the fields of `cls` have them.

    `config_file` is a path, or the name of a packaged file; a packaged one of the other command is
    refused. A key without a value counts as not given.
    """
    path = find_config_file(config_file, command)
    try:
        loaded = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the config file {path}: {describe_error(error)}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"expected {path} to hold 'flag: value' lines, got {show_value(loaded)}")
    names = {
        key: name
        for name, declared in list_settings(cls).items()
        if declared.panel is not Panel.INTERNAL
        for key in declared.keys
    }
    values: dict[str, Any] = {}
    for key, value in loaded.items():
        name = names.get(str(key).replace("_", "-"))
        if name is None:
            raise ConfigError(f"unknown key '{key}' in {path}{suggest_keys(str(key), names)}")
        if name in values:
            raise ConfigError(f"duplicate key '{key}' in {path}; keep one")
        values[name] = value
    given = {name: value for name, value in values.items() if value is not None}
    return settle_values(cls, given)


def find_config_file(name_or_path: str, command: Literal["label", "eval"] = "label") -> Path:
    """Return the file that is meant: a path, or a packaged example without `.yaml`."""
    path = Path(name_or_path)
    packaged = {
        found.stem: found for found in sorted((find_packaged_configs() / "runs").glob("*.yaml"))
    }
    found = path if path.is_file() else packaged.get(name_or_path)
    if found is not None and found.stem in packaged and _command_of(found.stem) != command:
        option = "--protocol" if command == "label" else "--config"
        raise ConfigError(
            f"{found.stem} holds settings of `ovsam {_command_of(found.stem)}`, not of "
            f"`ovsam {command}`; run `ovsam {_command_of(found.stem)} {option} {found.stem}`"
        )
    if found is not None:
        return found
    known = ", ".join(sorted(name for name in packaged if _command_of(name) == command)) or "none"
    raise ConfigError(f"no config file '{name_or_path}'; packaged ones: {known}")


def find_training_config(name_or_path: Path) -> Path:
    """Return the file of a training stage that is meant: a path, or the name of a packaged one."""
    if name_or_path.is_file():
        return name_or_path
    packaged = {p.stem: p for p in sorted((find_packaged_configs() / "training").glob("*.yaml"))}
    name = str(name_or_path)
    if name in packaged:
        return packaged[name]
    # Of a path that is not there, only its own name can be meant.
    near = suggest_names(name_or_path.stem, packaged.keys() & {name_or_path.stem})
    if name_or_path.stem == name:
        near = suggest_names(name, packaged) or f"; packaged ones: {', '.join(packaged)}"
    raise ConfigError(f"no config file '{name}'{near}")


def _command_of(stem: str) -> str:
    """Return the command whose settings a packaged file holds, by its name."""
    return "eval" if stem.startswith(_EVAL_PREFIX) else "label"


def find_packaged_configs() -> Path:
    """Return the folder `configs/`: inside the package of a wheel, next to it in a checkout."""
    package = Path(str(resources.files("ovsam_pipeline"))).resolve()
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"

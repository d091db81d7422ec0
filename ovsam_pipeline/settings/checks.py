"""What the settings of every command share: checks that name the flag, and strict YAML files.

Input: a value, or the path of a YAML file whose keys are long flag names. Output: nothing, or the
values by setting name; else a `ConfigError`. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Set
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ovsam.errors import ConfigError

_EVAL_PREFIX = "paper-table-"


def flag(name: str) -> str:
    """Return the flag of a setting, for messages."""
    return "--" + name.replace("_", "-")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is no known choice, with a ConfigError."""
    if value not in choices:
        raise ConfigError(f"expected {flag(name)} as one of {', '.join(choices)}, got '{value}'")


def check_type(name: str, value: Any, annotation: str) -> None:
    """Compare a value with the field's annotation (the few forms that settings use)."""
    if value is None and annotation.endswith("| None"):
        return
    kind = annotation.removesuffix(" | None")
    fits = {
        "str": isinstance(value, str) and bool(value),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "tuple[str, ...]": isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }[kind]
    if not fits:
        expected = {"str": "text", "bool": "true or false", "int": "a whole number"}
        words = expected.get(kind, "a number" if kind == "float" else "a list of texts")
        raise ConfigError(f"expected {flag(name)} as {words}, got {value!r}")


def check_fraction(name: str, value: float | None) -> None:
    """Refuse a number outside [0, 1], with a ConfigError; None is none."""
    if value is not None and not 0 <= value <= 1:
        raise ConfigError(f"expected {flag(name)} from 0 to 1, got {value}")


def check_least(name: str, value: float | None, smallest: int) -> None:
    """Refuse a number below `smallest`, with a ConfigError; None is none."""
    if value is not None and value < smallest:
        raise ConfigError(f"expected {flag(name)} of at least {smallest}, got {value}")


def parse_duration(name: str, text: str) -> float:
    """Return the seconds of "90", "90s", "30m", "6h" or "1h30m".

    Raises:
        ConfigError: anything else.
    """
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not parts or not any(parts.groups()):
        raise ConfigError(f"expected {flag(name)} as 6h, 90m, 1h30m or seconds, got '{text}'")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


def read_config_file(
    config_file: str, known: Set[str], command: Literal["label", "eval"]
) -> dict[str, Any]:
    """Return the settings of a YAML file, with underscores in the names.

    Args:
        config_file: path of a YAML file, or the name of a packaged one.
        known: names of the settings that it may hold.
        command: whose settings they are; a packaged file of the other one is refused.

    Raises:
        ConfigError: no such file, not YAML, not a mapping, a key twice, an unknown key, or
            settings of another command.
    """
    import yaml

    from ovsam_pipeline.settings.strict_yaml import load_strict_yaml

    path = find_config_file(config_file, command)
    try:
        loaded = load_strict_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read the config file {path}: {reason}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"expected {path} to hold 'flag: value' lines, got {loaded!r:.60}")
    values: dict[str, Any] = {}
    for key, value in loaded.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise ConfigError(f"unknown key '{key}' in {path}{_nearest(name, known)}")
        if name in values:
            raise ConfigError(f"the key '{key}' stands twice in {path}; keep one")
        values[name] = value
    return {name: value for name, value in values.items() if value is not None}


def find_config_file(name_or_path: str, command: Literal["label", "eval"] = "label") -> Path:
    """Return the file that is meant: a path, or a packaged example without `.yaml`.

    Raises:
        ConfigError: neither exists (the message lists the packaged names), or it is a packaged
            one of the other command.
    """
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


def _command_of(stem: str) -> str:
    """Return the command whose settings a packaged file holds, by its name."""
    return "eval" if stem.startswith(_EVAL_PREFIX) else "label"


def find_packaged_configs() -> Path:
    """Return the folder `configs/`: inside the package of a wheel, next to it in a checkout."""
    package = Path(str(resources.files("ovsam_pipeline"))).resolve()
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(sorted(known))}"

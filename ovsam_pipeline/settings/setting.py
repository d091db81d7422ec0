"""A setting is declared once: as a dataclass field that carries help, flags, limits and choices.

From the declaration come the options of the command line (commands/options.py), the keys of config
files (config_file.py), the checks below, what `--retry-failed OUT` takes from the earlier run
(output/earlier_run.py), and the tables of flags in docs/ (scripts/flag_tables.py).
"""

from __future__ import annotations

import enum
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from ovsam.errors import ConfigError
from ovsam.strict import convert, suggest_keys

T = TypeVar("T")


class Panel(enum.StrEnum):
    """The headings of `--help` and of the docs' tables, in their order."""

    WHAT = "What to label"
    DATA = "What to measure"
    MEASURE = "How it is measured"
    COMPARE = "Comparison with an earlier run"
    MODELS = "Models"
    RESULT = "What comes out"
    OUTPUT = "Output"
    SPEED = "Speed and cluster"
    RUNS = "Runs and cron"
    SERVER = "Server"
    INTERNAL = "set by ovsam alone: no flag, no key of a config file"


# What `--retry-failed OUT` takes from the run that filled OUT: nothing, the value that was given,
# or what "auto" was resolved to there (it may mean something better by now: other labels).
Retry = Literal["own", "given", "resolved"]


class About(TypedDict, total=False):
    """What can be declared of a setting beside its default, panel and help text."""

    flags: tuple[str, ...]  # the long one first; else `--name-of-the-field`; positional without "-"
    metavar: str  # what stands for the value in help and docs
    shown: str  # the default in words, where the value itself explains nothing
    least: float  # smallest value
    most: float  # largest value; the smallest is then 0
    above: float  # the value must be larger, and finite
    parse: Callable[[str, str], Any]  # (flag, text) → value, for texts of a command line or file
    repeats: bool  # whether the flag may be given several times, for a tuple of texts
    retry: Retry
    more: str  # continues the help text in the docs, in Markdown


@dataclass(frozen=True)
class Setting:
    """A declared setting; the attributes without a sentence are those of `About`."""

    panel: Panel
    help: str
    flags: tuple[str, ...] = ()
    metavar: str = ""
    shown: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    parse: Callable[[str, str], Any] | None = None
    repeats: bool = False
    retry: Retry = "given"
    more: str = ""
    name: str = ""
    kind: Any = None
    default: Any = None

    @property
    def flag(self) -> str:
        """The flag that messages name."""
        return self.flags[0].partition("/")[0]

    @property
    def is_positional(self) -> bool:
        """Whether the command line takes it without a flag."""
        return not self.flag.startswith("-")

    @property
    def plain_kind(self) -> Any:
        """The annotated type without `| None`."""
        is_optional = typing.get_origin(self.kind) is types.UnionType
        return typing.get_args(self.kind)[0] if is_optional else self.kind

    @property
    def choices(self) -> tuple[str, ...]:
        """The words to choose from; () for a free value."""
        kind = self.plain_kind
        return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()

    @property
    def value_text(self) -> str:
        """What stands for the value in help and docs; "" for a switch."""
        if self.plain_kind is bool:
            return ""
        return self.metavar or "|".join(self.choices) or ("N" if self.plain_kind is int else "X")

    @property
    def default_text(self) -> str:
        """The default in words; "" where nothing is the default."""
        if self.shown or self.default in (None, ()) or isinstance(self.default, bool):
            return self.shown
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def keys(self) -> set[str]:
        """The keys of a config file that mean this setting, with dashes."""
        long = [name.partition("/")[0] for name in self.flags if name.startswith("--")]
        return {self.name.replace("_", "-"), *(name[2:] for name in long)}

    def settle(self, value: Any) -> Any:
        """Return a value as the field has it, from the forms of YAML, JSON and the command line.

        Raises:
            ConfigError: it has the wrong type, is out of range or not among the choices.
        """
        if isinstance(value, PurePath):
            value = str(value)
        elif isinstance(value, tuple):
            value = tuple(str(v) if isinstance(v, PurePath) else v for v in value)
        if self.parse is not None and isinstance(value, str):
            value = self.parse(self.flag, value)
        value = convert(self.kind, value, self.flag)
        if value == "":
            raise ConfigError(f"expected {self.flag} as text, got ''")
        if value is not None:
            self._check_range(value)
        return value

    def _check_range(self, value: Any) -> None:
        if self.most is not None and not (self.least or 0) <= value <= self.most:
            raise ConfigError(
                f"expected {self.flag} from {self.least or 0} to {self.most}, got {value}"
            )
        if self.least is not None and value < self.least:
            raise ConfigError(f"expected {self.flag} of at least {self.least}, got {value}")
        if self.above is not None and not (math.isfinite(value) and value > self.above):
            raise ConfigError(f"expected {self.flag} above {self.above}, got {value}")


def setting(default: T, panel: Panel, help: str, **about: Unpack[About]) -> T:
    """Declare a setting as the default of a dataclass field."""
    return field(default=default, metadata={"setting": Setting(panel, help, **about)})


def list_settings(cls: type) -> dict[str, Setting]:
    """Return the settings of a dataclass by field name, panel by panel."""
    if cls not in _collected:
        _collected[cls] = _collect_settings(cls)
    return _collected[cls]


_collected: dict[type, dict[str, Setting]] = {}


def _collect_settings(cls: type) -> dict[str, Setting]:
    kinds = typing.get_type_hints(cls)
    found = [
        replace(
            item.metadata["setting"],
            flags=item.metadata["setting"].flags or ("--" + item.name.replace("_", "-"),),
            name=item.name,
            kind=kinds[item.name],
            default=item.default,
        )
        for item in fields(cls)
    ]
    panels = list(Panel)
    return {s.name: s for s in sorted(found, key=lambda s: panels.index(s.panel))}


def document_settings(cls: type[T]) -> type[T]:
    """Complete the docstring of a dataclass of settings; a class decorator."""
    settings = list_settings(cls).values()
    lines = "".join(f"\n        {s.name}: {s.help}" for s in settings)
    cls.__doc__ = f"{cls.__doc__}\n    Attributes:{lines}\n    "
    return cls


def settle_values(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by setting name as the fields of `cls` have them.

    Raises:
        ConfigError: a name is unknown, or a value cannot work.
    """
    settings = list_settings(cls)
    for name in values:
        if name not in settings:
            raise ConfigError(f"unknown setting '{name}'{suggest_keys(name, settings)}")
    return {name: settings[name].settle(value) for name, value in values.items()}


def settle_fields(config: Any) -> None:
    """Settle every field of a frozen dataclass that is being made; for its `__post_init__`."""
    for name, declared in list_settings(type(config)).items():
        object.__setattr__(config, name, declared.settle(getattr(config, name)))


def parse_duration(flag: str, text: str) -> float:
    """Return the seconds of "90", "90s", "30m", "6h" or "1h30m"; else a ConfigError."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not parts or not any(parts.groups()):
        raise ConfigError(f"expected {flag} as 6h, 90m, 1h30m or seconds, got '{text}'")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_names(flag: str, text: str) -> tuple[str, ...]:
    """Return the names of "cat, dog"; a ConfigError where there is none."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ConfigError(f"expected {flag} as names with commas between, got {text!r}")
    return names

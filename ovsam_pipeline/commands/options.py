"""Declared settings → the options of a command and the layout of its help page.

`@with_options(LabelConfig)` gives a command one option per setting. None stands for "not given", so
that a config file counts where the command line is silent; the defaults are those of the class.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand

from ovsam_pipeline.settings.setting import Panel, Setting, list_settings, setting

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

Command = TypeVar("Command", bound=Callable[..., None])

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass
class TerminalOptions:
    """How label, detect and eval write to the terminal."""

    quiet: bool = setting(
        False,
        "Show warnings, errors and the summary alone.",
        panel=Panel.RUNS,
        flags=("--quiet", "-q"),
    )
    log_format: Literal["text", "json"] = setting(
        "text", "How notes and progress are written to stderr: text or json.", panel=Panel.RUNS
    )
    json: bool = setting(False, "Print the summary as one JSON object.", panel=Panel.OUTPUT)


@dataclass
class RunOptions(TerminalOptions):
    """The options of label and detect that are not settings of the run."""

    config: str | None = setting(
        None, "YAML file with any of these flags; the command line wins.", panel=Panel.RUNS
    )


@dataclass
class EvalOptions(TerminalOptions):
    """The options of eval that are not settings of the evaluation."""

    protocol: str | None = setting(
        None,
        "paper-table-1 … paper-table-10 (1-points: centre points), or a YAML file with any of "
        "these flags; the command line wins.",
        panel=Panel.DATA,
    )


def list_options(*classes: type, without: Collection[str] = ()) -> list[Setting]:
    """Return the settings that are options of a command, panel by panel."""
    found = [s for cls in classes for s in list_settings(cls).values()]
    panels = list(Panel)
    return sorted(
        (s for s in found if s.panel is not Panel.INTERNAL and s.name not in without),
        key=lambda s: panels.index(s.panel),
    )


def with_options(*classes: type, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command an option for each setting of dataclasses; it receives them by keyword."""
    options = [_make_parameter(s) for s in list_options(*classes, without=without)]

    def decorate(command: Command) -> Command:
        # Typer reads the options of a command from its signature.
        command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        return command

    return decorate


def _make_parameter(declared: Setting) -> inspect.Parameter:
    """Return a setting as a parameter that Typer understands."""
    text = declared.help
    if declared.default_text:
        text += f"  [default: {declared.default_text}]"
    if declared.is_positional:
        about: Any = typer.Argument(metavar=declared.flag, help=text)
        kind: Any = list[str]
    else:
        panel = str(declared.panel)
        about = typer.Option(
            *declared.flags, metavar=declared.metavar, help=text, rich_help_panel=panel
        )
        kind = _find_plain_kind(declared)
    annotation = Annotated[kind | None, about]
    return inspect.Parameter(
        declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _find_plain_kind(declared: Setting) -> type:
    """Return what Typer checks: words and parsed texts are checked later, as in a config file."""
    kind = declared.kind
    if typing.get_origin(kind) is types.UnionType:
        kind = typing.get_args(kind)[0]
    return str if declared.parse or typing.get_origin(kind) is Literal else kind


class HelpPage(TyperCommand):
    """Lists options below the headings of their panels.

    Typer's own panels need rich, which would double the time of `--help` and cut long names off.
    """

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write every panel with its options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name = getattr(param, "rich_help_panel", None) or "Options"
                panels.setdefault(name, []).append(record)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)

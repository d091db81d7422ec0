"""Declared settings → the options of a command and the layout of its help page.

`@with_options(LabelConfig)` gives a command one option per setting. None stands for "not given", so
that a config file counts where the command line is silent; the defaults are those of the class.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from ovsam_pipeline.settings.setting import Panel, Setting, list_settings, setting
from ovsam_pipeline.terminal.notes import start_debugging

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

Command = TypeVar("Command", bound=Callable[..., None])

# At the end of a docstring: a heading, and below it lines that stay whole.
_LIST = re.compile(r"^(\S.*):\n((?:    .*(?:\n|$))+)", re.MULTILINE)
_EXAMPLES = "Examples"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
# Of the commands that read the pictures of an output again.
PictureMode = Annotated[
    str,
    typer.Option(metavar="copy|link|none", help="Pictures in the export: copies, links, or none."),
]
PicturePlaces = Annotated[
    list[str] | None,
    typer.Option(metavar="PLACE", help="Where the pictures are now, if they moved. Repeatable."),
]

# Of the commands with a page, which end in `ovsam_pipeline.ui.server.run_ui`.
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Where to listen; elsewhere than 127.0.0.1 others can reach it."
    ),
]
Port = Annotated[
    int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0: a free one.")
]
OpenBrowser = Annotated[
    bool | None,
    typer.Option(
        "--open/--no-open",
        help="Open a browser, or not.  [default: where there is a display]",
        show_default=False,
    ),
]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="Another name by which the server is reached. Repeatable.",
    ),
]


@dataclass
class TerminalOptions:
    """How label, detect and eval write to the terminal."""

    quiet: bool = setting(
        False, Panel.RUNS, "Show only warnings, errors and the summary.", flags=("--quiet", "-q")
    )
    log_format: Literal["text", "json"] = setting(
        "text",
        Panel.RUNS,
        "How notes and progress are written to stderr. json: one object per line.",
        more="See [cron.md](cron.md#the-result-of-a-run).",
    )
    json: bool = setting(False, Panel.OUTPUT, "Print the summary as one JSON object.")


@dataclass
class RunOptions(TerminalOptions):
    """The options of label and detect that are not settings of the run."""

    config: str | None = setting(
        None,
        Panel.RUNS,
        "YAML file with any of these flags as keys; the command line wins.",
        metavar="FILE",
        more="See [below](#config-files).",
    )


@dataclass
class EvalOptions(TerminalOptions):
    """The options of eval that are not settings of the evaluation."""

    protocol: str | None = setting(
        None,
        Panel.DATA,
        "paper-table-1 … paper-table-10 (1-points: centre points), or a YAML file with any of "
        "these flags as keys; the command line wins.",
        metavar="NAME",
    )
    report: bool = setting(
        True,
        Panel.OUTPUT,
        "Write report.html: all results as one page.",
        flags=("--report/--no-report",),
    )


def with_debug(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option --debug, which every command has."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        if given.pop("debug"):
            start_debugging()
        command(**given)

    about = typer.Option("--debug", help="Show the log of a search for a fault, and tracebacks.")
    debug = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, about]
    )
    declared = inspect.signature(command, eval_str=True)
    parameters = [*declared.parameters.values(), debug]
    # Typer reads the options of a command from its signature.
    run.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def list_options(*classes: type, without: Collection[str] = ()) -> list[Setting]:
    """Return the settings that are options of a command, panel by panel."""
    found = [s for cls in classes for s in list_settings(cls).values()]
    panels = list(Panel)
    return sorted(
        (s for s in found if s.panel is not Panel.INTERNAL and s.name not in without),
        key=lambda s: panels.index(s.panel),
    )


def with_options(
    *classes: type,
    without: Collection[str] = (),
    also: Mapping[str, tuple[Any, Any]] = MappingProxyType({}),
) -> Callable[[Command], Command]:
    """Give a command an option for each setting of dataclasses; it receives them by keyword.

    `also`: further options by name, each an annotation such as `Port` and its default.
    """
    options = [_make_parameter(s) for s in list_options(*classes, without=without)]
    options += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
        for name, (kind, value) in also.items()
    ]

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
    panel = str(declared.panel)
    if declared.is_positional:
        about: Any = typer.Argument(metavar=declared.flag, help=text, rich_help_panel=panel)
        kind: Any = list[str]
    else:
        metavar = declared.value_text or None
        about = typer.Option(*declared.flags, metavar=metavar, help=text, rich_help_panel=panel)
        # Words and parsed texts are checked later, by the sentence of a config file.
        kind = str if declared.parse or declared.choices else declared.plain_kind
        kind = list[str] if declared.repeats else kind
    annotation = Annotated[kind | None, about]
    return inspect.Parameter(
        declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


class ContentsPage(TyperGroup):
    """Lists commands below the headings of their panels, each with its whole first sentence."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write every panel with its commands."""
        panels: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, self.commands))
        for name in self.list_commands(ctx):
            command = self.commands[name]
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            about = command.get_short_help_str(limit=formatter.width)
            panels.setdefault(panel, []).append((name.ljust(width), about))
        for heading, rows in panels.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class HelpPage(TyperCommand):
    """Lists options below the headings of their panels, and examples last.

    Typer's own panels need rich, which would double the time of `--help` and cut long names off.
    Lines that are indented below a heading in the command's docstring stay whole; those below
    "Examples:" come last.
    """

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the docstring without its examples."""
        text, self.help = self.help, _LIST.sub("", self.help or "")
        super().format_help_text(ctx, formatter)
        self.help = text
        self._write_lists(formatter, lambda heading: heading != _EXAMPLES)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write every panel with its options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                kind = "Arguments"
                record = (re.sub(" <.*>", "", record[0]), record[1])
            else:
                kind = next(reversed([name for name in panels if name != "Arguments"]), "Options")
            panel = getattr(param, "rich_help_panel", None) or kind
            panels.setdefault(panel, []).append(record)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - its signature
        """Write the examples."""
        self._write_lists(formatter, lambda heading: heading == _EXAMPLES)

    def _write_lists(self, formatter: HelpFormatter, is_wanted: Callable[[str], bool]) -> None:
        for heading, lines in _LIST.findall(self.help or ""):
            if is_wanted(heading):
                with formatter.section(heading):
                    for line in lines.splitlines():
                        formatter.write(f"  {line.strip()}\n")

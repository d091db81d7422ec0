"""The table of contents of the command line. Bodies are loaded when a command runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from ovsam_pipeline.commands.audit import audit
from ovsam_pipeline.commands.compare import compare
from ovsam_pipeline.commands.demo import demo
from ovsam_pipeline.commands.detect import detect
from ovsam_pipeline.commands.detectors import detectors
from ovsam_pipeline.commands.doctor import doctor
from ovsam_pipeline.commands.eval import evaluate
from ovsam_pipeline.commands.examples import examples
from ovsam_pipeline.commands.export import export
from ovsam_pipeline.commands.filter import filter_labels
from ovsam_pipeline.commands.info import info
from ovsam_pipeline.commands.label import label
from ovsam_pipeline.commands.models import models_app
from ovsam_pipeline.commands.options import ContentsPage, HelpPage, with_debug
from ovsam_pipeline.commands.report import report
from ovsam_pipeline.commands.review import review
from ovsam_pipeline.commands.scenes import scenes
from ovsam_pipeline.commands.serve import serve
from ovsam_pipeline.commands.status import status
from ovsam_pipeline.commands.train import train
from ovsam_pipeline.commands.view import view
from ovsam_pipeline.commands.vocabularies import vocabularies

app = typer.Typer(
    name="ovsam",
    cls=ContentsPage,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100, "help_option_names": ["--help", "-h"]},
)
_WEIGHTS = "Models, names and this machine"
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Label": {"label": label, "detect": detect, "demo": demo, "serve": serve},
    "Look at the labels": {
        "status": status,
        "report": report,
        "view": view,
        "review": review,
        "filter": filter_labels,
        "export": export,
        "examples": examples,
        "eval": evaluate,
        "compare": compare,
        "audit": audit,
    },
    _WEIGHTS: {
        "detectors": detectors,
        "vocabularies": vocabularies,
        "info": info,
        "doctor": doctor,
    },
    "Train": {"train": train, "scenes": scenes},
}
for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=HelpPage, rich_help_panel=_panel)(with_debug(_command))
app.add_typer(models_app, name="models", rich_help_panel=_WEIGHTS)


@app.callback(invoke_without_command=True)
def describe(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Label images: masks and open-vocabulary names for every object."""
    if version:
        import ovsam
        from ovsam_pipeline.terminal.app import print_result

        print_result(f"ovsam {ovsam.__version__}")
        raise typer.Exit

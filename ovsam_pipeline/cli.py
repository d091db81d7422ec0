"""`ovsam`: the table of contents of the command line. Bodies are loaded when a command runs."""

from __future__ import annotations

import typer

from ovsam_pipeline.commands.doctor import doctor
from ovsam_pipeline.commands.export import export
from ovsam_pipeline.commands.label import label
from ovsam_pipeline.commands.report import report

__all__ = ["app", "main"]

app = typer.Typer(
    name="ovsam",
    help="Label images: masks and open-vocabulary names for every object.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.command()(label)
app.command()(export)
app.command()(report)
app.command()(doctor)


def main() -> None:
    """Run the command line."""
    from ovsam_pipeline.console import run_app

    run_app(app)

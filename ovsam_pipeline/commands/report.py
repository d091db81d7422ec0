"""`ovsam report`: what an output folder contains."""

from __future__ import annotations

from typing import Annotated

import typer

from ovsam.errors import ConfigError
from ovsam_pipeline.commands.options import Json, PicturePlaces


def report(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    json: Json = False,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write one file with pictures, to open or send."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Of --html: N images drawn by chance, at most 2,000."
        ),
    ] = None,
    source: PicturePlaces = None,
) -> None:
    """Count the images, objects and failures of an output.

    With --html as one file that needs no network: the same numbers, how right the labels are, and
    every image with its labels to filter, sort and print. Of an evaluation: all its results.

    Examples:
        ovsam report labels
        ovsam report labels --json | jq .classes
        ovsam report labels --html labels.html
        ovsam report eval_scenes --html results.html
    """
    from ovsam_pipeline.commands.report_counts import (
        collect_checks,
        collect_report,
        format_checks,
        format_report,
    )
    from ovsam_pipeline.output.place import find_output, parse_output
    from ovsam_pipeline.terminal.app import print_json, print_result
    from ovsam_pipeline.ui.results.data import is_results

    if html is not None:
        if json:
            raise ConfigError("--json and --html are two reports; give one of them at a time")
        from ovsam_pipeline.commands.report_page import write_html

        print_result(write_html(output, html, limit, source or ()))
        return
    if limit is not None or source:
        raise ConfigError("--limit and --source are about the pictures of --html; add --html FILE")
    if is_results(parse_output(output)):
        raise ConfigError(
            f"{output} holds an evaluation, no labels: ovsam report {output} --html FILE, or ovsam "
            f"view {output}"
        )
    folder = find_output(output)
    found, checks = collect_report(folder), collect_checks(folder)
    if json:
        print_json({**found, **checks.to_dict()})
    else:
        print_result(*format_report(found), *format_checks(checks, folder))

"""`ovsam compare`: several evaluations in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from ovsam_pipeline.commands.options import Json


def compare(
    evaluations: Annotated[
        list[str], typer.Argument(metavar="EVAL...", help="Folders of `ovsam eval`.")
    ],
    json: Json = False,
) -> None:
    """Show several evaluations in one table, a run a row.

    Numbers are percent. For the intervals of a difference: `ovsam eval --baseline`.

    Examples:
        ovsam compare eval_nano eval_rn50 eval_rn50x16
        ovsam compare eval_*/ --json | jq .
    """
    from ovsam_pipeline.evaluation.reporting.several import read_several
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = read_several(evaluations)
    if json:
        print_json(found.to_dict())
    else:
        print_result(*found.format())

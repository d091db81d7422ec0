"""`ovsam audit`: what is wrong with the labels that I have?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ovsam_pipeline.audit.config import AuditConfig, load_audit_config
from ovsam_pipeline.commands.options import TerminalOptions, with_options
from ovsam_pipeline.terminal.notes import choose_logs

if TYPE_CHECKING:
    from ovsam_pipeline.audit.run import AuditResult


@with_options(AuditConfig, TerminalOptions)
def audit(quiet: bool | None, log_format: str | None, json: bool | None, **given: Any) -> None:
    """Rank what is doubtful in a data set that has labels.

    Missing, invented, shifted, misnamed and badly outlined objects, by comparing with ours.
    Writes OUTPUT/findings.jsonl, the most suspicious first, a COCO file per pile (more, fewer,
    different, names, shapes) and worst/. The data set is only read. Without --predictions its
    images are labelled first, into OUTPUT/found and OUTPUT/asked; the same command resumes where
    it stopped.

    Exit codes: as `ovsam label`; findings are no failure.

    Examples:
        ovsam audit annotations.json -o audit
        ovsam audit annotations.json --predictions labels --asked asked -o audit
        ovsam audit annotations.json -o audit --corrected corrected.json
    """
    choose_logs(log_format, is_quiet=quiet)
    config = load_audit_config(given)
    # torch is loaded from here on; a wrong flag was refused before.
    from ovsam_pipeline.audit.run import run_audit
    from ovsam_pipeline.terminal.app import graceful_stop, print_json, result_is_kept
    from ovsam_pipeline.terminal.bars import EmbeddingProgress, show_progress

    result = run_audit(
        config,
        stopping=graceful_stop,
        showing=show_progress,
        embedding=EmbeddingProgress(),
    )
    with result_is_kept():
        if json:
            print_json(result.to_dict())
        else:
            _print_result(result)
    raise typer.Exit(result.exit_code)


def _print_result(result: AuditResult) -> None:
    from ovsam_pipeline.audit.report import describe_audit
    from ovsam_pipeline.terminal.app import print_result

    print_result(*describe_audit(result))

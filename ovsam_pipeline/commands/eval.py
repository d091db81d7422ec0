"""`ovsam eval`: how good are these labels?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ovsam_pipeline.commands.options import EvalOptions, with_options
from ovsam_pipeline.evaluation.config import EvalConfig, load_eval_config
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.terminal.notes import choose_logs

if TYPE_CHECKING:
    from ovsam_pipeline.evaluation.run import EvalResult

logger = logging.getLogger(__name__)


@with_options(EvalConfig, EvalOptions, without=("table", "seed"))
def evaluate(
    protocol: str | None,
    quiet: bool | None,
    log_format: str | None,
    json: bool | None,
    report: bool | None,
    **given: Any,
) -> None:
    """Measure labels against a data set: IoU, accuracy, AP.

    Writes OUTPUT/metrics.json, per_class.csv, plots/, worst/ and all on one page, report.html.
    Without --predictions the data set is labelled first, into OUTPUT/predictions; the same command
    resumes where it stopped.

    Exit codes: as `ovsam label`; 5 when a number dropped below --baseline by more than --tolerance.

    Examples:
        ovsam eval --dataset coco --model rn50x16-coco
        ovsam eval --dataset truth.json --predictions labels/
        ovsam eval --protocol paper-table-2 --dataset lvis
    """
    choose_logs(log_format, is_quiet=quiet)
    config = load_eval_config(protocol, given)
    # torch is loaded from here on; a wrong flag was refused before.
    from ovsam_pipeline.evaluation.run import run_evaluation
    from ovsam_pipeline.terminal.app import graceful_stop, print_json, result_is_kept
    from ovsam_pipeline.terminal.bars import EmbeddingProgress, show_progress

    result = run_evaluation(
        config,
        stopping=graceful_stop(),
        showing=show_progress,
        embedding=EmbeddingProgress(),
    )
    if report is not False and result.metrics:
        _write_report(result.output)
    with result_is_kept():
        if json:
            print_json(result.to_dict())
        else:
            _print_result(result)
    raise typer.Exit(result.exit_code)


def _print_result(result: EvalResult) -> None:
    from ovsam_pipeline.evaluation.reporting.files import REPORT_FILE
    from ovsam_pipeline.evaluation.reporting.tables import build_tables
    from ovsam_pipeline.terminal.app import print_result, print_tables

    if not result.metrics:
        assert result.labelled is not None
        left = result.labelled.summary.left
        print_result(
            f"stopped with {count_things(left, 'image')} left to label; run the same command again"
        )
        return
    print_tables(build_tables(result.metrics))
    if result.comparison is not None:
        print_tables([result.comparison.build_table()])
    print_result(f"results: {result.output / 'metrics.json'}")
    if any((result.output / "plots").glob("*")):
        print_result(f"  plots: {result.output / 'plots'}")
    if any((result.output / "worst").glob("*")):
        print_result(f"  worst instances: {result.output / 'worst'}")
    if (page := result.output / REPORT_FILE).is_file():
        print_result(f"  all on one page: {page}")


def _write_report(folder: Path) -> None:
    """Write the page; the numbers are kept where it cannot be."""
    from ovsam.errors import OvsamError
    from ovsam_pipeline.evaluation.reporting.files import REPORT_FILE
    from ovsam_pipeline.ui.report import write_results_report
    from ovsam_pipeline.ui.results.data import read_results

    try:
        write_results_report(read_results(folder), folder / REPORT_FILE)
    except OvsamError as error:
        logger.warning("no report: %s", error)

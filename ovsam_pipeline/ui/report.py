"""Labels or results as one self-contained file: `ovsam report --html`, and what eval writes."""

from __future__ import annotations

from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.ui.report_page import DataElement, write_page
from ovsam_pipeline.ui.results.data import EvalResults
from ovsam_pipeline.ui.results.embed import embed_results
from ovsam_pipeline.ui.start_page import escape_script_json


def write_results_report(results: EvalResults, path: AnyPath) -> int:
    """Write the results of an evaluation as one page; return its size in bytes.

    Raises:
        ConfigError: another file is there. OutputError: it cannot be written.
    """
    title = f"{results.metrics['dataset'].get('name', '')}: results of ovsam eval"
    data = DataElement("results", "application/json", [escape_script_json(embed_results(results))])
    return write_page(path, title, (), {"kind": "results", "embedded": True}, [data])

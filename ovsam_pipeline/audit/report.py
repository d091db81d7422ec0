"""What an audit found → lines for the terminal."""

from __future__ import annotations

import json
from itertools import islice

from ovsam_pipeline.audit.files import FINDINGS_FILE
from ovsam_pipeline.audit.findings import PILES, get_pile
from ovsam_pipeline.audit.run import AuditResult
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.terminal.tables import format_table

_SHOWN = 5


def describe_audit(result: AuditResult) -> list[str]:
    """Return the summary of an audit line by line: counts by pile, the worst, the files."""
    summary = result.summary
    if not summary:
        left = result.labelled[-1].summary.left
        images = count_things(left, "image")
        return [f"stopped with {images} left to label; run the same command again"]
    lines = [
        f"{count_things(summary['annotations'], 'annotation')} of "
        f"{count_things(summary['images'], 'image')} compared with "
        f"{count_things(summary['objects_found'], 'object')} of ours: "
        f"{count_things(summary['findings'], 'finding')}"
    ]
    if summary["images_compared"] < summary["images"]:
        left_out = summary["images"] - summary["images_compared"]
        lines.append(f"{count_things(left_out, 'image')} without labels of ours left out")
    if not summary["annotations_asked"]:
        lines.append(
            "the model was not asked about the annotated boxes: --asked finds more, or leave "
            "--predictions out"
        )
    lines += [*_tabulate(result), *_list_worst(result), f"results: {result.output}"]
    if (result.output / "worst" / "index.html").is_file():
        lines.append(f"  pictures of the worst: {result.output / 'worst' / 'index.html'}")
    if result.corrected is not None:
        counts = summary["corrections"]
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        lines.append(f"  corrected copy: {result.corrected} (annotations {told})")
    return lines


def _tabulate(result: AuditResult) -> list[str]:
    kinds = result.summary["kinds"]
    rows = [
        [pile, kind, str(kinds[kind]["all"]), str(kinds[kind]["likely"])]
        for pile in PILES
        for kind in kinds
        if get_pile(kind) == pile
    ]
    header = ("pile", "kind", "findings", "above .5")
    return format_table(header, rows, right="  rr").splitlines() if rows else []


def _list_worst(result: AuditResult) -> list[str]:
    """Return the first findings, one line each."""
    with (result.output / FINDINGS_FILE).open(encoding="utf-8") as file:
        worst = [json.loads(line) for line in islice(file, _SHOWN)]
    lines = ["the most suspicious:"] if worst else []
    for item in worst:
        name = item["category"] or (item["suggestion"] or {}).get("category", "")
        which = item["annotation_id"]
        what = "" if which is None else f" (annotation {which})"
        lines.append(
            f"  {item['suspicion']:.2f} {item['kind']} {name}{what} in {item['file_name']}: "
            f"{item['reason']}"
        )
    return lines

"""`ovsam report`: what an output folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of `ovsam label`.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count what an output folder holds: images, objects, classes, failures and their reasons."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.console import print_json, print_result
    from ovsam_pipeline.store import is_output

    if not is_output(output):
        raise ConfigError(f"expected a folder that ovsam label wrote, got {output}")
    found = collect_report(output)
    if json:
        print_json(found)
    else:
        for line in format_report(found):
            print_result(line)


def collect_report(output: Path) -> dict[str, Any]:
    """Return counts by status, class and reason, from the parts alone.

    Raises:
        OutputError: a part cannot be read.
    """
    from collections import Counter

    from ovsam_pipeline.report import group_reason
    from ovsam_pipeline.store import iterate_rows, read_run_file

    # Boxes of `ovsam detect` have the detector's classes alone, where it has any.
    kinds = ("category", "detector_category")
    columns = ("status", "error", *(f"objects.list.element.{kind}" for kind in kinds))

    statuses: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in iterate_rows(output, columns):
        statuses[row["status"]] += 1
        classes.update(
            item.get("category") or item["detector_category"] or "without a class"
            for item in row["objects"] or ()
        )
        if row["error"]:
            reasons[group_reason(row["error"])] += 1
    run = read_run_file(output)
    return {
        "output": str(output),
        "state": _find_state(run),
        "started": run.get("started"),
        "depends_on": run.get("depends_on", {}),
        "images": statuses.total(),
        **{name: statuses[name] for name in ("labelled", "empty", "failed")},
        "objects": classes.total(),
        "classes": dict(classes.most_common()),
        "reasons": dict(reasons.most_common()),
    }


def _find_state(run: dict[str, Any]) -> str:
    """Return the state in run.json, or "killed" where its process is gone without a word."""
    import os
    import platform

    state = str(run.get("state", "unknown"))
    if state != "running" or run.get("host") != platform.node():
        return state
    try:
        os.kill(int(run["process"]), 0)
    except ProcessLookupError:
        return "killed"
    except PermissionError:
        return state
    return state


def format_report(found: dict[str, Any]) -> list[str]:
    """Return the report line by line."""
    lines = [
        f"{found['output']}: last run {found['state']}, started {found['started']}",
        f"{found['images']} images: {found['labelled']} labelled, {found['empty']} empty, "
        f"{found['failed']} failed",
        f"{found['objects']} objects in {len(found['classes'])} classes",
    ]
    lines += [f"  {count:7d}  {name}" for name, count in list(found["classes"].items())[:20]]
    if len(found["classes"]) > 20:
        lines.append(f"  and {len(found['classes']) - 20} more classes (--json has all)")
    if found["reasons"]:
        lines.append("failures:")
        lines += [f"  {count:7d}  {reason}" for reason, count in found["reasons"].items()]
    lines += [f"{name}: {value}" for name, value in found["depends_on"].items()]
    return lines

"""`ovsam report`: what an output folder contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.outcomes import count_things

if TYPE_CHECKING:
    import pyarrow as pa

    from ovsam_pipeline.outcomes import Tally
    from ovsam_pipeline.storage.remote_path import AnyPath

# Boxes of `ovsam detect` have the detector's classes alone, where it has any.
_CLASS_COLUMNS = ("category", "detector_category")


def report(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    json: Json = False,
) -> None:
    """Count the images, objects and failures of an output.

    Examples:
        ovsam report labels
        ovsam report labels --json | jq .classes
    """
    from ovsam_pipeline.output.place import find_output
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = collect_report(find_output(output))
    if json:
        print_json(found)
    else:
        print_result(*format_report(found))


def collect_report(output: AnyPath) -> dict[str, Any]:
    """Return counts by status, class and reason, from the parts alone, and the run's state."""
    from collections import Counter

    from ovsam_pipeline.monitoring.run_state import read_status
    from ovsam_pipeline.outcomes import Tally
    from ovsam_pipeline.output.folder import list_parts, read_run_file
    from ovsam_pipeline.output.part_tables import iterate_tables
    from ovsam_pipeline.records import STATUSES

    columns = (
        "file_name",
        "status",
        "error",
        "warning",
        *(f"objects.list.element.{kind}" for kind in _CLASS_COLUMNS),
    )
    statuses: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    told = Tally()
    for table in iterate_tables(list_parts(output), columns):
        statuses.update(_count_values(table["status"]))
        classes.update(_count_classes(table["objects"]))
        _count_sentences(table, told)
    last = read_status(output)
    return {
        "output": str(output),
        "state": last["state"],
        "started": last["started"],
        "depends_on": read_run_file(output).get("depends_on", {}),
        "images": statuses.total(),
        **{name: statuses[name] for name in STATUSES},
        "transient": told.transient,
        "objects": classes.total(),
        "classes": dict(classes.most_common()),
        "reasons": told.reasons.to_counts(),
        "warnings": told.warnings.to_counts(),
        "examples": told.reasons.to_examples() | told.warnings.to_examples(),
    }


def _count_sentences(table: pa.Table, told: Tally) -> None:
    """Count the rows that failed or were read with a warning."""
    import pyarrow.compute as pc

    # Outputs of earlier versions have no warnings.
    names = [name for name in ("error", "warning") if name in table.column_names]
    is_told = pc.is_valid(table["error"])
    for name in names[1:]:
        is_told = pc.or_(is_told, pc.is_valid(table[name]))
    for row in table.select(["file_name", "status", *names]).filter(is_told).to_pylist():
        told.count(row["status"], 0, row["error"], row.get("warning"), row["file_name"])


def _count_classes(objects: pa.ChunkedArray) -> dict[str, int]:
    """Return how many objects have which class name: the label's, else the detector's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = pc.list_flatten(objects)
    names = [
        pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        for column in (
            pc.struct_field(items, kind)
            for kind in _CLASS_COLUMNS
            if items.type.get_field_index(kind) >= 0
        )
    ]
    return _count_values(pc.coalesce(*names, "without a class"))


def _count_values(column: pa.ChunkedArray) -> dict[Any, int]:
    import pyarrow.compute as pc

    return {found["values"]: found["counts"] for found in pc.value_counts(column).to_pylist()}


def format_report(found: dict[str, Any]) -> list[str]:
    """Return the report line by line."""
    lines = [
        f"{found['output']}: last run {found['state']}, started {found['started']}",
        f"{count_things(found['images'], 'image')}: {found['labelled']} labelled, "
        f"{found['empty']} empty, {found['failed']} failed",
        f"{count_things(found['objects'], 'object')} in "
        f"{count_things(len(found['classes']), 'class')}",
    ]
    lines += [f"  {count:7d}  {name}" for name, count in list(found["classes"].items())[:20]]
    if len(found["classes"]) > 20:
        lines.append(f"  and {len(found['classes']) - 20} more classes (--json has all)")
    for title, kind in (("failures:", "reasons"), ("read with a warning:", "warnings")):
        if found[kind]:
            lines.append(title)
        for text, count in found[kind].items():
            named = f"{'e.g. ' if count > 1 else ''}{found['examples'][text]}"
            lines.append(f"  {count:7d}  {text} ({named})")
    if found["transient"]:
        lines.append(
            f"{found['transient']} of {found['failed']} failed for no fault of the image: the next "
            "run tries again"
        )
    lines += [f"{name}: {value}" for name, value in found["depends_on"].items()]
    return lines

"""What an output folder contains, counted and in sentences: for `ovsam report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.commands.checked import (
    describe_calibration,
    describe_certificate,
    describe_precision,
)
from ovsam_pipeline.outcomes import count_are, count_things
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    import pyarrow as pa

    from ovsam_pipeline.outcomes import Tally
    from ovsam_pipeline.output.checked_labels import Calibration, Certificate, Precision
    from ovsam_pipeline.storage.remote_path import AnyPath

# Boxes of `ovsam detect` have the detector's classes and scores alone, where it has any.
_CLASS_COLUMNS = ("category", "detector_category")
_SCORE_COLUMNS = ("score", "detector_score")
# Probability of the best name minus that of the second: below this, a label is worth a look.
DOUBTFUL_MARGIN = 0.2
_MOST_CLASSES = 20


@dataclass
class _Objects:
    """Objects by class; `judged` have a margin, `doubtful` one below `DOUBTFUL_MARGIN`."""

    counts: Counter[str] = field(default_factory=Counter)
    score_sums: Counter[str] = field(default_factory=Counter)
    judged: int = 0
    doubtful: int = 0


@dataclass(frozen=True)
class Checks:
    """What people's answers have shown of an output; None each where nobody asked."""

    precision: Precision | None = None
    classes: dict[str, Precision] = field(default_factory=dict)
    certificate: Certificate | None = None
    calibration: Calibration | None = None
    fingerprint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        precision, calibration = self.precision, self.calibration
        return {
            "precision": None if precision is None else precision.to_dict(),
            "precision_of_classes": {name: one.to_dict() for name, one in self.classes.items()},
            "certified": None if self.certificate is None else self.certificate.to_dict(),
            "calibration": None if calibration is None else asdict(calibration),
        }


def collect_report(output: AnyPath) -> dict[str, Any]:
    """Return counts by status, class and reason, from the parts alone, and the run's state."""
    from ovsam_pipeline.monitoring.run_state import read_status
    from ovsam_pipeline.outcomes import Tally
    from ovsam_pipeline.output.answered_rows import read_corrections, replace_objects
    from ovsam_pipeline.output.folder import list_parts, read_run_file
    from ovsam_pipeline.output.part_tables import iterate_tables
    from ovsam_pipeline.output.reviews import Answers
    from ovsam_pipeline.records import STATUSES

    columns = (
        "file_name",
        "status",
        "error",
        "warning",
        *(f"objects.list.element.{n}" for n in (*_CLASS_COLUMNS, *_SCORE_COLUMNS, "margin")),
    )
    run = read_run_file(output)
    is_boxes = run.get("task") == "detect"
    statuses: Counter[str] = Counter()
    objects = _Objects()
    told = Tally()
    corrections = read_corrections(output, Answers() if is_boxes else None)
    for labelled in iterate_tables(list_parts(output), columns):
        table = replace_objects(labelled, corrections.objects)
        statuses.update(_count_values(table["status"]))
        _count_objects(table["objects"], objects)
        _count_sentences(table, told)
    last = read_status(output)
    seen = statuses["labelled"] + statuses["empty"]
    num_objects = objects.counts.total()
    return {
        "output": str(output),
        "state": last["state"],
        "started": last["started"],
        "seconds": run.get("run", {}).get("seconds"),
        "images_per_s": run.get("images_per_s"),
        "depends_on": run.get("depends_on", {}),
        "filtered": run.get("filtered"),
        "made_with": {kind: run.get(kind, {}) for kind in ("model", "detector", "vocabulary")},
        "dropped_boxes": {
            reason: count
            for reason, count in run.get("dropped_boxes", {}).items()
            if isinstance(count, int)
        },
        "images": statuses.total(),
        **{name: statuses[name] for name in STATUSES},
        "transient": told.transient,
        "reviewed_images": len(corrections.objects),
        "objects": num_objects,
        "objects_per_image": round(num_objects / seen, 2) if seen else None,
        "doubtful": objects.doubtful if objects.judged else None,
        "classes": dict(objects.counts.most_common()),
        "mean_scores": {
            name: round(objects.score_sums[name] / count, 4)
            for name, count in objects.counts.most_common()
        },
        "reasons": told.reasons.to_counts(),
        "warnings": told.warnings.to_counts(),
        "examples": told.reasons.to_examples() | told.warnings.to_examples(),
    }


def collect_checks(output: AnyPath) -> Checks:
    """Return what people's answers have shown of an output's labels."""
    from ovsam_pipeline.output.checked_labels import read_calibration
    from ovsam_pipeline.output.folder import read_run_file
    from ovsam_pipeline.review.checked import read_sample, read_today
    from ovsam_pipeline.review.measure import measure_classes, measure_precision

    run = read_run_file(output)
    sample = None if run.get("task") == "detect" else read_sample(output)
    precision, classes = None, {}
    if sample is not None and len(sample):
        right, checked = int(sample.is_right.sum()), int(sample.is_answered.sum())
        precision = measure_precision(right, checked, len(sample) - checked)
        classes = measure_classes(sample.classes, sample.is_right, sample.is_answered)
    return Checks(
        precision,
        classes,
        read_today(output),
        read_calibration(output),
        run.get("fingerprint", ""),
    )


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


def _count_objects(column: pa.ChunkedArray, found: _Objects) -> None:
    """Count objects by class name, the label's or else the detector's, and those in doubt."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = pc.list_flatten(column)
    held = {name: pc.struct_field(items, name) for name in items.type.names}
    names = [
        pc.if_else(pc.equal(held[kind], ""), pa.scalar(None, pa.string()), held[kind])
        for kind in _CLASS_COLUMNS
        if kind in held
    ]
    score = next(held[kind] for kind in _SCORE_COLUMNS if kind in held)
    table = pa.table({"name": pc.coalesce(*names, "without a class"), "score": score})
    sums = table.group_by("name").aggregate([("score", "sum"), ("score", "count")])
    for row in sums.to_pylist():
        found.counts[row["name"]] += row["score_count"]
        found.score_sums[row["name"]] += row["score_sum"]
    if "margin" in held:
        found.judged += len(held["margin"]) - held["margin"].null_count
        found.doubtful += pc.sum(pc.less(held["margin"], DOUBTFUL_MARGIN)).as_py() or 0


def _count_values(column: pa.ChunkedArray) -> dict[Any, int]:
    import pyarrow.compute as pc

    return {found["values"]: found["counts"] for found in pc.value_counts(column).to_pylist()}


def format_report(found: dict[str, Any]) -> list[str]:
    """Return the report line by line."""
    from ovsam_pipeline.detectors.box_rules import describe_dropped

    lines = [
        f"{found['output']}: {count_things(found['objects'], 'object')} in "
        f"{count_things(found['images'], 'image')}",
        *describe_contents(found),
    ]
    if found["objects"]:
        rows = [
            [f"{count:9d}", f"{found['mean_scores'][name]:.2f}", name]
            for name, count in list(found["classes"].items())[:_MOST_CLASSES]
        ]
        lines += format_table(("  objects", "mean score", "class"), rows, right="rr").splitlines()
    if len(found["classes"]) > _MOST_CLASSES:
        more = len(found["classes"]) - _MOST_CLASSES
        lines.append(f"  and {count_things(more, 'more class')} (--json has all)")
    for title, kind in (("failures:", "reasons"), ("read with a warning:", "warnings")):
        if found[kind]:
            lines.append(title)
        for text, count in found[kind].items():
            named = f"{'e.g. ' if count > 1 else ''}{found['examples'][text]}"
            lines.append(f"  {count:7d}  {text} ({named})")
    if found["dropped_boxes"]:
        dropped = describe_dropped(found["dropped_boxes"])
        what = (
            "objects left out" if found["filtered"] else "boxes of the last run that gave no object"
        )
        lines.append(f"{what}: {dropped}")
    if found["transient"]:
        lines.append(
            f"{found['transient']} of {found['failed']} failed for no fault of the image: the next "
            "run tries again"
        )
    return lines + _describe_making(found)


def describe_contents(found: dict[str, Any]) -> list[str]:
    """Return how the last run went, and what of it is here."""
    lines = [
        f"last run: {_describe_run(found)}",
        f"images: {found['labelled']} labelled, {found['empty']} empty, {found['failed']} failed",
    ]
    if found["reviewed_images"]:
        reviewed = count_are(found["reviewed_images"], "image")
        lines.append(f"{reviewed} reviewed by people, whose answers are counted here")
    if found["objects"]:
        lines.append(f"objects: {_describe_objects(found)}")
    return lines


def list_making(found: dict[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the labels were made with, a thing a row; hashes are for programs."""
    rows = []
    for kind, made in found["made_with"].items():
        if isinstance(made, dict) and made.get("name"):
            licence = f", licence of the weights: {made['licence']}" if made.get("licence") else ""
            classes = f", {made['classes']} names" if made.get("classes") else ""
            rows.append((kind, f"{made['name']}{classes}{licence}"))
    before = found["filtered"]
    settings = found["depends_on"]
    if isinstance(before, dict) and isinstance(before.get("depends_on"), dict):
        rows.append(("filtered from", str(before.get("output"))))
        settings = {**before["depends_on"], **settings}
    kept = _leave_out(settings, found["made_with"])
    rows += [(name.replace("_", " "), str(value)) for name, value in kept.items()]
    rows += [
        (name, run[name])
        for name in ("started", "finished", "ovsam")
        if isinstance(run.get(name), str)
    ]
    return rows


def format_checks(checks: Checks, output: AnyPath) -> list[str]:
    """Return what people's answers have shown, line by line; nothing where nobody asked."""
    lines = []
    if checks.precision is not None:
        lines += describe_precision(checks.precision, checks.classes)
    if checks.certificate is not None:
        lines += describe_certificate(checks.certificate, output)
    if checks.calibration is not None:
        lines += describe_calibration(checks.calibration, checks.fingerprint)
    return lines


def _describe_run(found: dict[str, Any]) -> str:
    work = "filtering" if found["filtered"] else "labelling"
    took = "" if found["seconds"] is None else f", {found['seconds']:.1f} s of {work}"
    rate = f" ({found['images_per_s']:.1f} images/s)" if found["images_per_s"] else ""
    return f"{found['state']}, started {found['started']}{took}{rate}"


def _describe_objects(found: dict[str, Any]) -> str:
    text = count_things(len(found["classes"]), "class")
    if found["objects_per_image"] is not None:
        text = f"{found['objects_per_image']:.1f} an image, {text}"
    if (doubtful := found["doubtful"]) is not None:
        share = 100 * doubtful / found["objects"]
        text += f", {doubtful} doubtful ({share:.0f} %: margin below {DOUBTFUL_MARGIN})"
    return text


def _describe_making(found: dict[str, Any]) -> list[str]:
    """Return what the labels were made with; hashes are for programs."""
    names = {kind: made.get("name") for kind, made in found["made_with"].items() if made}
    if classes := found["made_with"]["vocabulary"].get("classes"):
        names["vocabulary"] = f"{names['vocabulary']} ({count_things(classes, 'class')})"
    lines = [
        _list_values("made with", names),
        _list_values("settings", _leave_out(found["depends_on"], names)),
    ]
    before = found["filtered"]
    if isinstance(before, dict) and isinstance(before.get("depends_on"), dict):
        title = f"filtered from {before.get('output')}, made with settings"
        lines.append(_list_values(title, _leave_out(before["depends_on"], names)))
    return [line for line in lines if line]


def _leave_out(settings: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Return settings without those that are named elsewhere, and without hashes."""
    return {
        name: value
        for name, value in settings.items()
        if name not in names and not name.endswith(("_hash", "_version"))
    }


def _list_values(title: str, values: dict[str, Any]) -> str:
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return f"{title}: {listed}" if listed else ""

"""`ovsam review`: ask people about labels, take their answers, say what has been answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ovsam_pipeline.commands.options import Json, PictureMode, PicturePlaces

if TYPE_CHECKING:
    from pathlib import Path

    from ovsam_pipeline.export.options import ExportOptions, ExportSummary, ImageMode
    from ovsam_pipeline.review.answers import ImportReport
    from ovsam_pipeline.review.batches import Batch
    from ovsam_pipeline.storage.remote_path import AnyPath

_SHEET = "csv"
_FORMATS = ("label-studio", "cvat", "fiftyone", "coco", _SHEET)
_NAMES = ", ".join(_FORMATS)
_MOST_LINES = 20
# Of a class: the interval of fewer says nothing.
_LEAST_CHECKED = 5
_IMAGES_GONE = _LEFT_OUT = 3


@dataclass(frozen=True)
class _Chosen:
    """A format and its options."""

    name: str
    options: ExportOptions


def review(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    queue: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Ask about the N objects likeliest wrong; for editors, in whole images.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Ask about N objects drawn by chance, to measure."),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of --sample: the same seed draws the same.")
    ] = 0,
    export: Annotated[
        str | None, typer.Option(metavar="FORMAT", help=f"Write the questions for: {_NAMES}.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where --export writes.  [default: beside OUT]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier --export.")
    ] = False,
    images: PictureMode = "copy",
    source: PicturePlaces = None,
    import_file: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="Take what people answered: file or folder."),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Of --import, where it is not clear."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who answered, in place of what the file says."),
    ] = None,
    certify: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Find the risk up to which at least this share of labels is right, by a --sample.",
        ),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(metavar="X", help="Of --certify.  [default: 0.95]")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Find what scores are worth, by 50 answers of a --sample."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Ask people about labels and take their answers.

    Without options it says what was answered. Answers lie in OUT/reviews.jsonl and win in every
    export. No later run touches them.

    Examples:
        ovsam review labels --queue 200 --export csv
        ovsam review labels --import labels_queue-1a2b3c_csv/answers.csv --by ann
        ovsam review labels --sample 200 --export csv
        ovsam review labels --certify 0.95
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.commands.checked import run_calibrate, run_certify
    from ovsam_pipeline.output.place import find_output

    asked = {
        "--queue": queue,
        "--sample": sample,
        "--import": import_file,
        "--certify": certify,
        "--calibrate": calibrate or None,
    }
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"expected one of {', '.join(asked)}, got {' and '.join(given)}")
    if export is not None and queue is None and sample is None:
        raise ConfigError("--export needs what to ask about: --queue N or --sample N")
    if confidence is not None and certify is None:
        raise ConfigError("--confidence is that of --certify X; give both")
    folder = find_output(output)
    if import_file is not None:
        _import(folder, import_file, file_format, by, as_json=json)
    elif certify is not None:
        run_certify(folder, certify, 0.95 if confidence is None else confidence, as_json=json)
    elif calibrate:
        run_calibrate(folder, as_json=json)
    elif queue is None and sample is None:
        _tell_status(folder, as_json=json)
    else:
        chosen = None if export is None else _choose_export(export, images, source)
        batch = _ask(folder, queue, sample, seed, whole_images=export != _SHEET)
        if chosen is None:
            _tell_batch(folder, batch, queue or sample or 0, as_json=json)
        else:
            num_open = _count_open(folder, batch)
            target = _choose_target(folder, batch, chosen.name, to, overwrite=overwrite)
            _export(folder, batch, chosen, target, num_open, as_json=json)


def _ask(
    folder: AnyPath, queue: int | None, sample: int | None, seed: int, *, whole_images: bool
) -> Batch:
    """Choose what to ask about: whole images for editors, which show all of an image anyway."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.output.answered_rows import read_corrections
    from ovsam_pipeline.output.near_duplicates import group_near_duplicates
    from ovsam_pipeline.review.ask import ask_queue, ask_sample

    if queue is None:
        batch = ask_sample(folder, sample or 0, seed)
    else:
        corrections, groups = read_corrections(folder), group_near_duplicates(folder)
        batch = ask_queue(folder, queue, corrections, groups, whole_images=whole_images)
    if not batch.images:
        raise ConfigError(
            f"{folder} has no object that nobody has reviewed"
            if queue is not None
            else f"{folder} has no object"
        )
    return batch


def _choose_export(name: str, images: str, source: list[str] | None) -> _Chosen:
    """Check the options of --export."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.options import ExportOptions

    if name not in _FORMATS:
        raise ConfigError(f"expected --export as one of {_NAMES}, got '{name}'")
    if images not in ("copy", "link", "none"):
        raise ConfigError(f"expected --images as copy, link or none, got '{images}'")
    mode = cast("ImageMode", images)
    return _Chosen(name, ExportOptions(images=mode, sources=tuple(source or ())))


def _choose_target(
    folder: AnyPath, batch: Batch, name: str, to: str | None, *, overwrite: bool
) -> Path:
    """Return the folder that an export makes; a ConfigError where it must not be made."""
    from pathlib import Path

    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.target import check_folder, name_beside
    from ovsam_pipeline.output.place import parse_output
    from ovsam_pipeline.storage.remote_path import RemotePath

    if to is None:
        if isinstance(folder, RemotePath):
            raise ConfigError(f"the questions on {folder} need a folder of this machine: give --to")
        target: AnyPath = name_beside(folder, f"_{batch.id}_{name}")
    else:
        target = parse_output(to)
    if isinstance(target, RemotePath):
        raise ConfigError(f"expected --to as a folder of this machine, got {to}")
    check_folder(target, overwrite=overwrite)
    return Path(target)


def _count_open(folder: AnyPath, batch: Batch) -> int:
    """Return how many objects of a batch nobody has answered; a ConfigError where none is left."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.output.reviews import read_answers
    from ovsam_pipeline.review.tasks import find_open

    answers = read_answers(folder)
    num_open = sum(len(find_open(image, answers)) for image in batch.images)
    if not num_open:
        raise ConfigError(
            f"all {batch.num_objects} objects of this sample are answered already; draw more, or "
            f"see what they say: ovsam review {folder}"
        )
    return num_open


def _export(
    folder: AnyPath, batch: Batch, chosen: _Chosen, target: Path, num_open: int, *, as_json: bool
) -> None:
    """Write the questions for people, and record what they are asked."""
    import ovsam
    from ovsam_pipeline.export.target import replace_folder
    from ovsam_pipeline.output.reviews import read_answers
    from ovsam_pipeline.review.batches import record_batch
    from ovsam_pipeline.review.send import send_batch

    record: dict[str, Any] = {"ovsam": ovsam.__version__, "format": chosen.name, "batch": batch.id}
    answers = read_answers(folder)
    with replace_folder(target, record) as staging:
        summary = send_batch(folder, batch, answers, chosen.name, staging, chosen.options)
        record.update(summary.to_dict())
    # Only now: an answer means nothing without it, and it nothing without the questions.
    record_batch(folder, batch)
    _tell_export(folder, batch, target, summary, num_open, as_json=as_json)
    if summary.missing_ids:
        raise typer.Exit(_IMAGES_GONE)


def _tell_export(
    folder: AnyPath,
    batch: Batch,
    target: Path,
    summary: ExportSummary,
    num_open: int,
    *,
    as_json: bool,
) -> None:
    from ovsam_pipeline.outcomes import count_are, count_things
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    with result_is_kept():
        if as_json:
            print_json({"batch": batch.id, "folder": str(target), **summary.to_dict()})
            return
        images = count_things(summary.images, "image")
        print_result(f"{target}: {count_things(summary.objects, 'object')} in {images} to look at")
        if answered := batch.num_objects - num_open:
            which = "of the sample" if batch.kind == "sample" else "in these images"
            print_result(f"{count_things(answered, 'object')} {which} answered already")
        print_result(*summary.notes)
        if summary.missing_ids:
            print_result(f"{count_are(len(summary.missing_ids), 'picture')} gone, e.g.:")
            print_result(*(f"  {name}: {why}" for name, why in summary.missing_names.items()))
        print_result(f"when it is answered: ovsam review {folder} --import FILE")


def _tell_batch(folder: AnyPath, batch: Batch, wanted: int, *, as_json: bool) -> None:
    """Print what would be asked; nothing is recorded, as nobody is asked.

    `wanted`: the N that was typed. Whole images may hold more objects.
    """
    from dataclasses import asdict

    from ovsam_pipeline.outcomes import count_things
    from ovsam_pipeline.terminal.app import print_json, print_result
    from ovsam_pipeline.terminal.tables import format_table

    if as_json:
        print_json(asdict(batch))
        return
    objects = [(image.file_name, item) for image in batch.images for item in image.objects]
    rows = [
        [
            f"{item['risk']:.2f}",
            _show(item["score"]),
            item["category"] or "",
            name,
            item["reason"] or "",
        ]
        for name, item in objects[:_MOST_LINES]
    ]
    drawn = f", drawn from {batch.population}" if batch.kind == "sample" else ""
    images = count_things(len(batch.images), "image")
    print_result(
        f"{batch.kind} of {count_things(len(objects), 'object')} in {images}{drawn}",
        *format_table(("risk", "score", "class", "image", "reason"), rows, right="rr").splitlines(),
    )
    if len(objects) > _MOST_LINES:
        print_result(f"and {len(objects) - _MOST_LINES} more (--json has all)")
    size = f"--{batch.kind} {wanted}"
    print_result(
        f"to ask somebody: ovsam review {folder} {size} --export {_NAMES.replace(', ', '|')}"
    )


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _import(
    folder: AnyPath, name: str, file_format: str | None, by: str | None, *, as_json: bool
) -> None:
    """Take the answers of a file, and say what became of it."""
    from ovsam_pipeline.review.receive import receive_file
    from ovsam_pipeline.storage.remote_path import parse_path

    report = receive_file(folder, parse_path(name), file_format, by)
    _tell_import(folder, name, report, as_json=as_json)
    if report.left_out:
        raise typer.Exit(_LEFT_OUT)


def _tell_import(folder: AnyPath, name: str, report: ImportReport, *, as_json: bool) -> None:
    from ovsam.errors import show_value
    from ovsam_pipeline.outcomes import count_things
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    total = report.verdicts.total()
    with result_is_kept():
        if as_json:
            print_json(
                {
                    "file": name,
                    "images": report.images,
                    "answers": total,
                    "new": report.added,
                    "verdicts": dict(report.verdicts.most_common()),
                    "new_names": list(report.new_names),
                    "left_out": report.left_out.to_counts(),
                    "examples": report.left_out.to_examples(),
                }
            )
            return
        print_result(
            f"{folder}: {count_things(report.added, 'new answer')} of {total} in {name}, on "
            f"{count_things(report.images, 'image')}"
        )
        if total:
            counts = report.verdicts.most_common()
            print_result(f"  {', '.join(f'{count} {verdict}' for verdict, count in counts)}")
        if report.new_names:
            named = ", ".join(show_value(name, 40) for name in report.new_names[:_MOST_LINES])
            classes = count_things(len(report.new_names), "new class")
            print_result(
                f"  {classes}, by a name that was none: {named}; if one is misspelt, "
                "correct it in the file and import that again"
            )
        if not total and not report.left_out:
            print_result("  nobody submitted an image in it, or filled in a line")
        for group in report.left_out.list_common():
            named = f"{'e.g. ' if group.count > 1 else ''}{group.file_name}"
            print_result(f"  left out: {group.count}  {group.sentence} ({named})")


def _tell_status(folder: AnyPath, *, as_json: bool) -> None:
    from ovsam_pipeline.commands.checked import describe_certificate
    from ovsam_pipeline.review.checked import read_today
    from ovsam_pipeline.review.status import collect_review
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = collect_review(folder)
    certificate = read_today(folder)
    if as_json:
        print_json({**found, "certified": None if certificate is None else certificate.to_dict()})
        return
    certified = [] if certificate is None else describe_certificate(certificate, folder)
    print_result(*_format_status(found, certified))


def _format_status(found: dict[str, Any], certified: list[str]) -> list[str]:
    """Return the state of a review line by line, and what to do next."""
    from ovsam_pipeline.outcomes import count_are, count_things

    output = found["output"]
    people = ", ".join(f"{count} by {name}" for name, count in found["people"].items())
    answers = count_things(found["answers"], "answer")
    on_images = count_things(found["images"], "image")
    lines = [f"{output}: {answers} on {on_images}{f' ({people})' if people else ''}"]
    if found["answers"]:
        verdicts = (f"{count} {verdict}" for verdict, count in found["verdicts"].items())
        lines.append(f"  {', '.join(verdicts)}")
        judged = count_things(found["labels_judged"], "label")
        lines.append(f"  of {judged} looked at {found['labels_right']} right as made")
    if found["images_gone"]:
        lines.append(
            f"{count_are(found['images_gone'], 'reviewed image')} not in this output (renamed, "
            "moved, removed?); their answers are kept"
        )
    if found["images_changed"]:
        lines.append(
            f"{count_are(found['images_changed'], 'reviewed image')} another picture or size by "
            "now, or failed; answers on what they were are kept and not applied"
        )
    sample = found["sample"]
    if sample is None:
        lines.append(
            "precision of all labels: not measured; a queue cannot, it was chosen as doubtful"
        )
        lines.append(f"next: ovsam review {output} --sample 200 --export {_SHEET}")
        return lines
    lines += _format_sample(sample) + certified
    if sample["unanswered"]:
        lines.append(
            f"next: answer the other {count_things(sample['unanswered'], 'object')} of the sample "
            "(the same --sample N --export writes them again)"
        )
    elif not certified:
        lines.append(f"next: ovsam review {output} --certify 0.9 says which labels to take unseen")
    else:
        lines.append(
            f"next: ovsam review {output} --queue 200 --export {_SHEET} finds most mistakes"
        )
    return lines


def _format_sample(sample: dict[str, Any]) -> list[str]:
    from ovsam_pipeline.commands.checked import format_percent
    from ovsam_pipeline.outcomes import count_things
    from ovsam_pipeline.terminal.tables import format_table

    drawn = f"sample of {sample['objects']} of {count_things(sample['population'], 'object')}"
    answered = f"{sample['checked']} answered, {sample['right']} right"
    lines = [f"{drawn}: {answered}"]
    if sample["gone"]:
        lines.append(
            f"  {count_things(sample['gone'], 'object')} of it not in this output any more"
        )
    lines.append(f"precision of all labels: {_format_precision(sample)}")
    rows = [
        [f"{one['checked']:9d}", format_percent(one["precision"] or 0), _format_interval(one), name]
        for name, one in list(sample["classes"].items())[:_MOST_LINES]
        if one["checked"] >= _LEAST_CHECKED
    ]
    if rows:
        header = ("  checked", "right", "interval", "class")
        lines += format_table(header, rows, right="rrr").splitlines()
    return lines


def _format_precision(one: dict[str, Any]) -> str:
    """Return "93.2 % (88.8 % to 96.3 % with 95 % confidence)"."""
    from ovsam_pipeline.commands.checked import format_percent

    share = "unknown" if one["precision"] is None else format_percent(one["precision"])
    return f"{share} ({_format_interval(one)} with 95 % confidence)"


def _format_interval(one: dict[str, Any]) -> str:
    from ovsam_pipeline.commands.checked import format_percent

    return f"{format_percent(one['low'])} to {format_percent(one['high'])}"

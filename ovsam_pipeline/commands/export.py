"""`ovsam export`: an output folder in another format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ovsam_pipeline.commands.options import Json, PictureMode, PicturePlaces

if TYPE_CHECKING:
    from pathlib import Path

    from ovsam.structures import RLE
    from ovsam_pipeline.export.check import Losses
    from ovsam_pipeline.export.options import ExportOptions, ExportSummary, ImageMode, OnTop
    from ovsam_pipeline.storage.remote_path import AnyPath

    # (output, target, options): writes one file, or what belongs into an empty folder.
    _Export = Callable[[AnyPath, Any, ExportOptions], ExportSummary]
    # (output, target, options): yields the masks of each image, as other tools read them.
    _ReadBack = Callable[[AnyPath, Any, ExportOptions], Iterator[list[RLE | None]]]

_STANDARD_OUTPUT = ("-", "/dev/stdout")
_IMAGES_GONE, _LOSSY = 3, 5
_PADDING = 0.1
# Options that other formats would pass over in silence.
_FORMATS_OF = {
    "--polygons": ("coco",),
    "--split": ("yolo", "hf"),
    "--on-top": ("masks",),
    "--calibrated": ("csv",),
    "--padding": ("crops",),
    "--cut-out": ("crops",),
}


@dataclass(frozen=True)
class _Format:
    """One format.

    Attributes:
        load: imports its writer, and its reader for --check where it has masks.
        suffix: of its file; None: a folder.
    """

    load: Callable[[], tuple[_Export, _ReadBack | None]]
    suffix: str | None = None


def _load_coco() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.coco_choice import export_coco_as, read_coco

    return export_coco_as, read_coco


def _load_yolo() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.yolo import export_yolo, read_yolo

    return export_yolo, read_yolo


def _load_cvat() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.cvat import export_cvat
    from ovsam_pipeline.review.editors.read_back import read_back_cvat

    return export_cvat, read_back_cvat


def _load_datumaro() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.datumaro import export_datumaro, read_datumaro

    return export_datumaro, read_datumaro


def _load_fiftyone() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.fiftyone import export_fiftyone
    from ovsam_pipeline.review.editors.read_back import read_back_fiftyone

    return export_fiftyone, read_back_fiftyone


def _load_label_studio() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.label_studio import export_label_studio
    from ovsam_pipeline.review.editors.read_back import read_back_label_studio

    return export_label_studio, read_back_label_studio


def _load_labelme() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.labelme import export_labelme, read_labelme

    return export_labelme, read_labelme


def _load_voc() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.voc import export_voc, read_voc

    return export_voc, read_voc


def _load_masks() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.masks import export_masks, read_masks

    return export_masks, read_masks


def _load_crops() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.crops import export_crops

    return export_crops, None


def _load_csv() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.csv import export_csv

    return export_csv, None


def _load_hf() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.hf import export_hf, read_hf

    return export_hf, read_hf


def _load_croissant() -> tuple[_Export, _ReadBack | None]:
    from ovsam_pipeline.export.croissant import export_croissant

    return export_croissant, None


# A new format is a file in export/ with one function, a loader above, and its line here.
_FORMATS = {
    "coco": _Format(_load_coco, ".json"),
    "yolo": _Format(_load_yolo),
    "cvat": _Format(_load_cvat),
    "datumaro": _Format(_load_datumaro),
    "fiftyone": _Format(_load_fiftyone),
    "label-studio": _Format(_load_label_studio),
    "labelme": _Format(_load_labelme),
    "voc": _Format(_load_voc),
    "masks": _Format(_load_masks),
    "crops": _Format(_load_crops),
    "csv": _Format(_load_csv, ".csv"),
    "hf": _Format(_load_hf),
    "croissant": _Format(_load_croissant),
}
_NAMES = ", ".join(_FORMATS)


def export(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    export_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"{_NAMES}.")
    ] = "coco",
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="New file or folder to write; - is stdout, for coco and csv.  [default: "
            "OUT/annotations.json, else OUT_FORMAT beside OUT]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that --to names, or an export.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(metavar="X", help="Leave out objects with a lower score.")
    ] = 0.0,
    max_risk: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Leave out objects with a higher risk, e.g. than `ovsam review --certify` found.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Export only these classes.")
    ] = None,
    reviewed_only: Annotated[
        bool, typer.Option("--reviewed-only", help="Export only objects that a person saw.")
    ] = False,
    images: PictureMode = "copy",
    source: PicturePlaces = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Read back what was written, and compare masks: exit code 5 for an IoU below .98.",
        ),
    ] = False,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="coco: polygons in place of run lengths.")
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            metavar=".8/.1/.1",
            help="yolo, hf: shares of train, val and test, near-duplicates together.",
        ),
    ] = None,
    on_top: Annotated[
        str, typer.Option(metavar="smaller|score", help="masks: which of two objects is seen.")
    ] = "smaller",
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrated", help="csv: what score and risk are worth (`ovsam review --calibrate`)."
        ),
    ] = False,
    padding: Annotated[
        float,
        typer.Option(metavar="X", help="crops: margin, as a share of the box's longer side."),
    ] = _PADDING,
    cut_out: Annotated[
        bool, typer.Option("--cut-out", help="crops: PNG with the mask as transparency.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the labels of an output folder in another format.

    Examples:
        ovsam export labels
        ovsam export labels --format yolo --split .8/.1/.1 --check
        ovsam export s3://bucket/labels --to coco.json
        ovsam export labels --to - | jq .images
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.check import measure_losses
    from ovsam_pipeline.export.labels import LabelChoice
    from ovsam_pipeline.export.options import ExportOptions
    from ovsam_pipeline.export.row_counts import count_output
    from ovsam_pipeline.export.splits import parse_split
    from ovsam_pipeline.output.place import find_output

    _check_format(
        export_format,
        {
            "--polygons": polygons,
            "--split": split is not None,
            "--on-top": on_top != "smaller",
            "--calibrated": calibrated,
            "--padding": padding != _PADDING,
            "--cut-out": cut_out,
        },
    )
    if check and to in _STANDARD_OUTPUT:
        raise ConfigError("--check reads back what was written, which stdout cannot; name a file")
    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    choice = LabelChoice(min_score, names, reviewed_only, max_risk)
    options = ExportOptions(
        choice,
        cast("ImageMode", images),
        tuple(source or ()),
        polygons=polygons,
        split=parse_split(split) if split else (),
        on_top=cast("OnTop", on_top),
        padding=padding,
        cut_out=cut_out,
        calibrated=calibrated,
    )
    folder = find_output(output)
    chosen = _FORMATS[export_format]
    if to in _STANDARD_OUTPUT:
        _print_file(folder, export_format, options)
        return
    target = _choose_target(folder, to, export_format, options, overwrite=overwrite)
    write, read_back = chosen.load()
    if check and read_back is None:
        raise ConfigError(f"--format {export_format} has no masks that --check could compare")
    num_failed = count_output(folder).failed
    if chosen.suffix is None:
        with _fill_folder(target, folder, export_format) as (staging, record):
            summary = write(folder, staging, options)
            summary.failed = num_failed
            record.update(summary.to_dict())
            _write_card(folder, staging, target, options, summary)
    else:
        summary = write(folder, target, options)
        summary.failed = num_failed
    losses = None
    if check and read_back is not None:
        losses = measure_losses(folder, options, summary, read_back(folder, target, options))
    _tell(target, summary, losses, as_json=json)
    if summary.missing_ids:
        raise typer.Exit(_IMAGES_GONE)
    if losses and losses.changed:
        raise typer.Exit(_LOSSY)


def _check_format(export_format: str, given: Mapping[str, bool]) -> None:
    """Refuse a format that there is not, and options that the chosen one would ignore.

    `given`: by flag, whether it was given.
    """
    from ovsam.errors import ConfigError

    if export_format not in _FORMATS:
        raise ConfigError(f"expected --format as one of {_NAMES}, got '{export_format}'")
    for flag, is_given in given.items():
        if is_given and export_format not in _FORMATS_OF[flag]:
            meant = " or ".join(_FORMATS_OF[flag])
            raise ConfigError(f"{flag} is for --format {meant}, got {export_format}")


def _write_card(
    output: AnyPath,
    staging: Path,
    target: AnyPath,
    options: ExportOptions,
    summary: ExportSummary,
) -> None:
    """Write the dataset card of an export."""
    from pathlib import Path

    from ovsam_pipeline.export.card import write_card
    from ovsam_pipeline.review.checked import measure_sample, read_today

    write_card(
        output,
        staging,
        options.choice,
        before=Path(str(target)),
        gone=summary.missing_ids,
        precision=measure_sample(output),
        certificate=read_today(output),
    )


def _tell(target: AnyPath, summary: ExportSummary, losses: Losses | None, *, as_json: bool) -> None:
    """Print what was written, and what the user should know of it."""
    from ovsam_pipeline.outcomes import count_are, count_things
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    with result_is_kept():
        if as_json:
            key = "file" if target.suffix else "folder"
            checked = {} if losses is None else {"check": losses.to_dict()}
            print_json({key: str(target), **summary.to_dict(), **checked})
            return
        objects = count_things(summary.objects, "object")
        print_result(f"{target}: {count_things(summary.images, 'image')}, {objects}")
        print_result(*summary.notes)
        if summary.failed:
            print_result(f"{count_are(summary.failed, 'failed image')} left out")
        if losses is not None:
            print_result(*losses.describe())
        if gone := len(summary.missing_ids):
            print_result(f"{count_are(gone, 'image')} gone and left out, e.g.:")
            print_result(*(f"  {name}: {why}" for name, why in summary.missing_names.items()))


@contextmanager
def _fill_folder(
    target: AnyPath, output: AnyPath, export_format: str
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield an empty folder that becomes the target, and what its export.json will say."""
    from pathlib import Path

    import ovsam
    from ovsam_pipeline.export.target import replace_folder

    record: dict[str, Any] = {"ovsam": ovsam.__version__, "format": export_format}
    record["output"] = output.name
    with replace_folder(Path(str(target)), record) as staging:
        yield staging, record


def _choose_target(
    output: AnyPath,
    to: str | None,
    export_format: str,
    options: ExportOptions,
    *,
    overwrite: bool,
) -> AnyPath:
    """Return the file or folder to write: a new one, unless an old one is to be replaced."""
    from pathlib import Path

    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.target import check_folder, name_beside
    from ovsam_pipeline.output.annotations_file import choose_annotations
    from ovsam_pipeline.output.place import parse_output
    from ovsam_pipeline.storage.remote_path import RemotePath

    suffix = _FORMATS[export_format].suffix
    if export_format == "coco" and to is None:
        if not options.writes_all:
            raise ConfigError("a choice of labels needs a file of its own; name it with --to")
        return choose_annotations(output)
    if to is None and isinstance(output, RemotePath):
        raise ConfigError(f"the export of {output} needs a place on this machine; name it as --to")
    beside = name_beside(Path(str(output)), f"_{export_format}{suffix or ''}")
    target = parse_output(to or str(beside))
    if suffix is not None:
        _check_file(target, suffix, overwrite=overwrite)
        return target
    if isinstance(target, RemotePath):
        raise ConfigError(
            f"--format {export_format} writes a folder of many files, on this machine; got {to}: "
            "export to a local folder and copy that"
        )
    check_folder(target, overwrite=overwrite)
    return target


def _check_file(target: AnyPath, suffix: str, *, overwrite: bool) -> None:
    """Refuse a file that must not be written."""
    from ovsam.errors import ConfigError, explain
    from ovsam_pipeline.output.folder import is_own_file
    from ovsam_pipeline.output.place import check_store
    from ovsam_pipeline.storage.remote_path import RemotePath

    if target.suffix.lower() != suffix:
        raise ConfigError(f"expected --to as a {suffix} file, got {target}")
    check_store(target)
    with explain("cannot use --to", target, ConfigError):
        if is_own_file(target):
            raise ConfigError(
                f"{target} is a part of an output folder, which no export replaces; give another "
                "name as --to"
            )
        # A store has no folders that could be missing.
        if not isinstance(target, RemotePath) and not target.parent.is_dir():
            raise ConfigError(f"expected --to in a folder that exists, got {target}")
        if target.exists() and not (overwrite and target.is_file()):
            raise ConfigError(
                f"{target} exists already; give another name, or --overwrite to replace a file"
            )


def _print_file(folder: AnyPath, export_format: str, options: ExportOptions) -> None:
    """Write the file to stdout, whole or not at all."""
    import shutil
    import sys
    import tempfile
    from pathlib import Path

    from ovsam.errors import ConfigError

    suffix = _FORMATS[export_format].suffix
    if suffix is None:
        raise ConfigError(f"--format {export_format} writes a folder, which stdout cannot take")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, f"export{suffix}")
        write, _ = _FORMATS[export_format].load()
        write(folder, file, options)
        with file.open(encoding="utf-8") as text:
            shutil.copyfileobj(text, sys.stdout)

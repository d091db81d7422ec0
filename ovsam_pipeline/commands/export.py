"""`ovsam export`: an output folder in another format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ovsam_pipeline.commands.options import Json

if TYPE_CHECKING:
    from ovsam_pipeline.storage.remote_path import AnyPath

_STANDARD_OUTPUT = ("-", "/dev/stdout")


def export(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    export_format: Annotated[str, typer.Option("--format", help="coco.")] = "coco",
    to: Annotated[
        str | None,
        typer.Option(help="New .json file to write; - is stdout.  [default: OUT/annotations.json]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that --to names.")] = False,
    json: Json = False,
) -> None:
    """Write the labels of an output folder as COCO instances.

    Examples:
        ovsam export labels
        ovsam export s3://bucket/labels --to coco.json
        ovsam export labels --to - | jq .images
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.coco import export_coco
    from ovsam_pipeline.outcomes import count_are, count_things
    from ovsam_pipeline.output.annotations_file import choose_annotations
    from ovsam_pipeline.output.place import find_output
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    if export_format != "coco":
        raise ConfigError(f"expected --format coco, got '{export_format}'")
    folder = find_output(output)
    if to in _STANDARD_OUTPUT:
        _print_file(folder)
        return
    target = _choose_target(to, overwrite=overwrite) if to else choose_annotations(folder)
    counts = export_coco(folder, target)
    with result_is_kept():
        if json:
            print_json({"file": str(target), **counts.to_dict()})
            return
        images = counts.labelled + counts.empty
        objects = count_things(counts.objects, "object")
        print_result(f"{target}: {count_things(images, 'image')}, {objects}")
        if counts.failed:
            print_result(f"{count_are(counts.failed, 'failed image')} left out")


def _choose_target(to: str, *, overwrite: bool) -> AnyPath:
    """Return the file to write: a new one, unless an old one is to be replaced."""
    from ovsam.errors import ConfigError, explain
    from ovsam_pipeline.output.place import check_store, parse_output
    from ovsam_pipeline.storage.remote_path import RemotePath

    target = parse_output(to)
    if target.suffix.lower() != ".json":
        raise ConfigError(f"expected --to as a .json file, as COCO is JSON, got {to}")
    check_store(target)
    with explain("cannot use --to", target, ConfigError):
        # A store has no folders that could be missing.
        if not isinstance(target, RemotePath) and not target.parent.is_dir():
            raise ConfigError(f"expected --to in a folder that exists, got {target}")
        if target.exists() and not (overwrite and target.is_file()):
            raise ConfigError(
                f"{target} exists already; give another name, or --overwrite to replace a file"
            )
    return target


def _print_file(folder: AnyPath) -> None:
    """Write the COCO file to stdout, whole or not at all."""
    import shutil
    import sys
    import tempfile
    from pathlib import Path

    from ovsam_pipeline.export.coco import export_coco

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "annotations.json")
        export_coco(folder, file)
        with file.open(encoding="utf-8") as text:
            shutil.copyfileobj(text, sys.stdout)

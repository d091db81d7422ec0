"""`ovsam export`: an output folder in another format."""

from __future__ import annotations

from typing import Annotated

import typer

from ovsam_pipeline.commands.options import Json


def export(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    export_format: Annotated[str, typer.Option("--format", help="coco.")] = "coco",
    to: Annotated[
        str | None, typer.Option(help="File to write.  [default: OUT/annotations.json]")
    ] = None,
    json: Json = False,
) -> None:
    """Write the labels of an output folder as COCO instances.

    Examples:
        ovsam export labels
        ovsam export s3://bucket/labels --to coco.json
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.coco import export_coco
    from ovsam_pipeline.output.place import check_store, find_output, parse_output
    from ovsam_pipeline.storage.remote_path import RemotePath
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    if export_format != "coco":
        raise ConfigError(f"expected --format coco, got '{export_format}'")
    folder = find_output(output)
    target = parse_output(to) if to else folder / "annotations.json"
    check_store(target)
    # A store has no folders that could be missing.
    if not isinstance(target, RemotePath) and not target.parent.is_dir():
        raise ConfigError(f"expected --to in a folder that exists, got {target}")
    counts = export_coco(folder, target)
    with result_is_kept():
        if json:
            print_json({"file": str(target), **counts.to_dict()})
            return
        images = counts.labelled + counts.empty
        print_result(f"{target}: {images} images, {counts.objects} objects")
        if counts.failed:
            print_result(f"{counts.failed} failed images are left out")

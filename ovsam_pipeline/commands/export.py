"""`ovsam export`: an output folder in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of `ovsam label`.")],
    export_format: Annotated[str, typer.Option("--format", help="coco.")] = "coco",
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write.  [default: OUT/annotations.json]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the labels of an output folder in another format (COCO instances)."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.console import print_json, print_result
    from ovsam_pipeline.exporters.coco import export_coco
    from ovsam_pipeline.store import is_output

    if export_format != "coco":
        raise ConfigError(f"expected --format coco, got '{export_format}'")
    if not is_output(output):
        raise ConfigError(f"expected a folder that ovsam label wrote, got {output}")
    target = to or output / "annotations.json"
    if not target.parent.is_dir():
        raise ConfigError(f"expected --to in a folder that exists, got {target}")
    counts = export_coco(output, target)
    if json:
        print_json({"file": str(target), **counts.to_dict()})
    else:
        images = counts.labelled + counts.empty
        print_result(f"{target}: {images} images, {counts.objects} objects")
        if counts.failed:
            print_result(f"{counts.failed} failed images are left out")

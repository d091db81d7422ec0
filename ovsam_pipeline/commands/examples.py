"""`ovsam examples`: labels that people checked, as examples of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovsam_pipeline.commands.options import Json, PicturePlaces

_IMAGES_GONE = 3


def examples(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    from_reviewed: Annotated[
        bool, typer.Option("--from-reviewed", help="Take objects that people checked or drew.")
    ] = False,
    to: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="REFS.json",
            help="New COCO file; its pictures are copied into the folder REFS beside it.",
        ),
    ] = Path("refs.json"),
    per_class: Annotated[
        int, typer.Option(min=1, max=50, metavar="N", help="Most examples of a class.")
    ] = 10,
    source: PicturePlaces = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier file and its pictures.")
    ] = False,
    json: Json = False,
) -> None:
    """Make examples of classes out of labels that people checked.

    Examples:
        ovsam examples labels --from-reviewed -o refs.json
        ovsam label images/ --vocabulary examples:refs.json
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.export.examples import write_examples
    from ovsam_pipeline.outcomes import count_are, count_things
    from ovsam_pipeline.output.place import find_output
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    if not from_reviewed:
        raise ConfigError(
            "examples are taken from what people checked, as labels may be wrong: give "
            "--from-reviewed (`ovsam review OUT` asks people)"
        )
    folder = find_output(output)
    summary, counts = write_examples(
        folder, to, per_class, sources=tuple(source or ()), overwrite=overwrite
    )
    with result_is_kept():
        if json:
            print_json({"file": str(to), **summary.to_dict(), "classes": counts})
        else:
            classes = count_things(len(counts), "class")
            shown = count_things(summary.objects, "example")
            print_result(
                f"{to}: {shown} of {classes} in {count_things(summary.images, 'picture')}",
                f"next: ovsam label IMAGES --vocabulary examples:{to}",
            )
            if gone := len(summary.missing_ids):
                print_result(f"{count_are(gone, 'image')} gone and left out, e.g.:")
                print_result(*(f"  {name}: {why}" for name, why in summary.missing_names.items()))
    if summary.missing_ids:
        raise typer.Exit(_IMAGES_GONE)

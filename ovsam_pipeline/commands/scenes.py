"""`ovsam scenes`: draw example pictures with exact ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.outcomes import count_things

if TYPE_CHECKING:
    from ovsam.training.scenes.files import SceneFile


def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write into.")],
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 24,
    seed: Annotated[int, typer.Option(min=3, help="Seed; 1 and 2 are nano's own.")] = 3,
    size: Annotated[int, typer.Option(min=96, max=4096, help="Long side in pixels.")] = 640,
    font: Annotated[
        Path | None, typer.Option(help="Noto Color Emoji's file.  [default: the system's]")
    ] = None,
    json: Json = False,
) -> None:
    """Draw scenes of nano's classes with their ground truth.

    Masks, boxes and names are exact, in COCO format. They are drawn with the font Noto Color Emoji:
    `apt-get install fonts-noto-color-emoji`, or on any system --font with
    fonts/NotoColorEmoji.ttf of https://github.com/googlefonts/noto-emoji.

    Examples:
        ovsam scenes scenes/ --count 500
        ovsam eval --dataset scenes/annotations.json
    """
    from ovsam.training.scenes.files import check_folder, write_scene_files
    from ovsam.training.scenes.sprites import load_noto_atlas
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    planned = plan_files(count, size)
    check_folder(out, [file.name for file in planned])
    atlas = load_noto_atlas(font)
    path = write_scene_files(out, atlas, planned, seed)
    with result_is_kept():
        if json:
            print_json({"annotations": str(path), "images": count, "seed": seed})
        else:
            print_result(f"{out}: {count_things(count, 'picture')}, ground truth in {path.name}")


def plan_files(count: int, size: int) -> list[SceneFile]:
    """Plan files of several aspect ratios and both formats; the fourth is EXIF-rotated."""
    from ovsam.training.scenes.files import SceneFile

    shapes = ((1.0, 1.0), (0.75, 1.0), (1.0, 0.75), (0.5625, 1.0), (0.667, 1.0), (1.0, 0.6))
    scales = (1.0, 0.75, 0.5, 1.0, 0.6)
    planned = []
    for index in range(count):
        tall, wide = shapes[index % len(shapes)]
        side = size * scales[index % len(scales)]
        name = f"scene_{index:04d}.{'png' if index % 8 == 5 else 'jpg'}"
        size_hw = (round(side * tall), round(side * wide))
        planned.append(SceneFile(name=name, size_hw=size_hw, is_rotated=index == 3))
    return planned

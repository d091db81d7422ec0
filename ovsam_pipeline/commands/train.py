"""`ovsam train`: one stage of a training, from a YAML file of values."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class Stage(enum.StrEnum):
    """What can be trained; the order is that of making `nano`."""

    POOL = "pool"
    CLIP = "clip"
    TEXT = "text"
    TEACHER = "teacher"
    DISTIL = "distil"
    MASKS = "masks"
    LABELS = "labels"
    JOINT = "joint"
    DETECTOR = "detector"
    MERGE = "merge"


def train(
    stage: Annotated[Stage, typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of this run; it resumes there.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file: configs/training/*.yaml.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Scene pool (of `train pool`), or COCO JSON of real images."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Image folder of a COCO JSON given as --data.")
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option("--init", help="Folder of the stage before (merge: masks, then labels)."),
    ] = None,
) -> None:
    """Train one stage of a model; stopped and started again, it goes on where it was.

    Several processes share a stage under torchrun; each takes one thread.
    """
    import logging

    import torch

    from ovsam_pipeline.training_stages import StageRequest, run_stage

    logging.getLogger("ovsam.training").setLevel(logging.INFO)
    torch.set_num_threads(1)
    run_stage(
        StageRequest(
            stage=stage.value,
            out=out,
            config=config,
            data=data,
            images=images,
            init=tuple(init or ()),
        )
    )

"""`ovsam train`: one stage of a training, from a YAML file of values."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from ovsam.errors import ConfigError


class Stage(enum.StrEnum):
    """What can be trained or prepared, in the order of a model from nothing."""

    POOL = "pool"
    CLIP = "clip"
    TEXT = "text"
    TEACHER = "teacher"
    CACHE_TEACHER = "cache-teacher"
    START = "start"
    DISTIL = "distil"
    MASKS = "masks"
    LABELS = "labels"
    JOINT = "joint"
    DETECTOR = "detector"
    MERGE = "merge"
    COMBINE = "combine"
    BASELINE = "baseline"
    OVERFIT = "overfit"
    CHECK = "check"


class TrainingEngine(enum.StrEnum):
    """Where the processes of a training run."""

    LOCAL = "local"
    RAY = "ray"


def train(
    stage: Annotated[Stage, typer.Argument(metavar="STAGE", help="What to do, of the list above.")],
    out: Annotated[Path | None, typer.Option(help="Folder of this run; it resumes there.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file, or the name of a packaged one: finetune-labels, ..."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Scene pool (of `train pool`), or COCO JSON of real images.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Image folder of a COCO JSON given as --data.")
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of the stage before (merge: masks, then labels; "
            "combine and baseline: SAM, then CLIP; clip: a nano to teach more drawings, or none)."
        ),
    ] = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="Classes, instead of the config's.")
    ] = None,
    max_bad: Annotated[
        float | None, typer.Option(help="Largest fraction of bad data allowed, 0 to 1.")
    ] = None,
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Decode every image before training, not 200.")
    ] = False,
    font: Annotated[
        Path | None,
        typer.Option(help="Noto Color Emoji's file, for pool.  [default: the system's]"),
    ] = None,
    engine: Annotated[
        TrainingEngine, typer.Option(help="This process (or torchrun's), or Ray's.")
    ] = TrainingEngine.LOCAL,
    num_workers: Annotated[
        int | None, typer.Option(help="Processes with --engine ray, a GPU each.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster: auto or HEAD:6379.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.")] = 1,
) -> None:
    """Train one stage of a model; started again, it resumes.

    Several processes share a stage under torchrun, or on a Ray cluster with --engine ray.

    Your own classes:
        check          report what is wrong with the data of labels, masks or joint
        overfit        learn one batch of them by heart, as a sanity check
        labels         the label head learns your classes; masks stay as they are

    OV-SAM from CLIP and SAM, and the paper's baselines:
        start          put CLIP, SAM and a new neck together
        cache-teacher  store what SAM's encoder sees in every image
        distil         SAM2CLIP: the neck learns to give the same
        joint          CLIP2SAM: masks and labels together
        masks          the mask decoder alone
        combine        put SAM and CLIP together as a baseline
        baseline       train its adapter or its prompts (CoOp)

    The demonstration model nano, from drawn scenes:
        pool           draw the scenes
        clip           the image tower
        text           the text tower
        teacher        a small SAM, to try distillation with
        detector       the detector of boxes
        merge          join masks and labels in one file

    Exit codes: 0 done, or saved after SIGTERM (start it again to resume); 130 saved after Ctrl-C;
    1 the training failed; 2 usage or settings.

    Examples:
        ovsam train check --data a.json --images photos/
        ovsam train labels --config finetune-labels --init nano --data a.json ...
        torchrun --no-python --nproc-per-node 8 ovsam train joint ...
    """
    from ovsam_pipeline.training.request import DataLimits, StageRequest, TrainingPlace

    if out is None and stage is not Stage.CHECK:
        raise ConfigError(f"`ovsam train {stage.value}` needs --out FOLDER")
    request = StageRequest(
        stage=stage.value,
        out=out or Path(),
        config=config,
        data=data,
        images=images,
        init=tuple(init or ()),
        font=font,
        limits=DataLimits(max_bad=max_bad, all_images=all_images, vocabulary=vocabulary),
    )
    place = TrainingPlace(
        engine=engine.value, num_workers=num_workers, address=address, threads=threads
    )
    if engine is TrainingEngine.LOCAL:  # the nodes of a cluster may have other files
        request.check()
    from ovsam_pipeline.training.run import run_training

    code = run_training(request, place)
    if code:
        raise typer.Exit(code)

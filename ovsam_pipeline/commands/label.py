"""`ovsam label`: images → masks and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ovsam_pipeline.api import LabelResult


def label(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Folders (searched recursively), globs, image files, list files (one path a "
            "line), COCO or LVIS JSON files.",
        ),
    ] = None,
    image_root: Annotated[
        str | None,
        typer.Option(
            help="Folder that the names in COCO JSON files are relative to.  [default: looked for "
            "around the file]"
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Output folder.  [default: beside the first source, with _ovsam behind its name]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights: a name (`ovsam models list`) or a file. auto: the best ones already in "
            "the cache, else the embedded nano.  [default: auto]",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Source of boxes: nano, torchvision, boxes:FILE, gt:FILE, gt:FILE#points. auto: "
            "the best one in the cache, else nano.  [default: auto]",
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="Class names to choose from: coco, lvis, lvis+imagenet21k, objects365, "
            "openimages, nano, or a file. auto: nano with the model nano, else lvis.  "
            "[default: auto]",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Only these names come out, e.g. 'cat,dog'. Without --vocabulary, names that the "
            "default one lacks are added to it.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Who names the objects: model or detector.  [default: model]",
        ),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            "--conf",
            "--confidence-threshold",
            help="Drop boxes with a lower detector score.  [default: 0.25]",
        ),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            help="Of two boxes that overlap more, whatever their classes, keep the better.  "
            "[default: 0.5]",
        ),
    ] = None,
    max_det: Annotated[
        int | None, typer.Option(help="Most boxes an image.  [default: 300]")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="auto, local or ray.  [default: auto]")] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster.")] = None,
    num_gpus: Annotated[int | None, typer.Option(help="GPUs to use on a Ray cluster.")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1.  [default: auto]")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="auto, fp32, bf16 or fp16. auto: bf16 on GPUs that have it, else fp32.  "
            "[default: auto]",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Images the networks see together.  [default: 1 on a CPU, 8 on a GPU]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Threads that decode images.  [default: by the machine, at most 8]",
        ),
    ] = None,
    on_existing: Annotated[
        str | None,
        typer.Option(
            help="When the output holds results: resume (label what is new or changed), overwrite "
            "or error.  [default: resume]",
        ),
    ] = None,
    retry_failed: Annotated[
        bool | None, typer.Option("--retry-failed", help="Label failed images again.")
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            help="Stop with exit code 4 when more images fail.  [default: no limit]",
        ),
    ] = None,
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            help="The same as a fraction of the images to label, 0 to 1.  [default: no limit]",
        ),
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(
            help="Draw this many labelled images into OUTPUT/preview.  [default: 0]",
        ),
    ] = None,
    part_images: Annotated[
        int | None,
        typer.Option(
            help="Images in one Parquet part; what is in a part is safe.  [default: 64]",
        ),
    ] = None,
    part_seconds: Annotated[
        float | None,
        typer.Option(
            help="Write a part after this time even when it is not full.  [default: 10]",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="YAML file with any of these flags; the command line wins.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
) -> None:
    """Find, outline and name the objects of images.

    Results go to OUTPUT/parts (Parquet, one row an image) and OUTPUT/annotations.json (COCO).
    Running the same command again labels only what is new or changed.

    Exit codes: 0 done; 1 the run failed; 2 wrong flags or settings; 3 done, some images failed;
    4 stopped, too many images failed; 75 another run holds the output; 130 interrupted.
    """
    given: dict[str, Any] = dict(locals())
    config_file, as_json = given.pop("config"), given.pop("json")
    given["sources"] = tuple(sources) if sources else None
    _run(config_file, given, as_json=as_json)


def _run(config_file: str | None, given: dict[str, Any], *, as_json: bool) -> None:
    from ovsam_pipeline.config import load_label_config
    from ovsam_pipeline.console import (
        EmbeddingProgress,
        graceful_stop,
        print_json,
        print_result,
        show_progress,
    )

    config = load_label_config(config_file, given)
    # torch is loaded from here on; a wrong flag was refused before.
    from ovsam_pipeline.api import run_label

    result = run_label(
        config,
        stopping=graceful_stop(),
        showing=show_progress,
        embedding=EmbeddingProgress(),
    )
    if as_json:
        print_json(result.to_dict())
    else:
        for line in format_result(result):
            print_result(line)
    raise typer.Exit(result.exit_code)


def format_result(result: LabelResult) -> list[str]:
    """Return what a person wants to know after a run, line by line."""
    summary, plan, totals = result.summary, result.plan, result.totals
    rate = f", {summary.done / summary.seconds:.1f} images/s" if summary.done else ""
    lines = [
        f"{summary.done} images in {summary.seconds:.1f} s{rate}: {summary.labelled} labelled "
        f"({summary.objects} objects), {summary.empty} empty, {summary.failed} failed"
    ]
    if not summary.done and not summary.left:
        lines = [f"nothing to do: all {plan.num_listed} images have their labels"]
    elif plan.num_unchanged:
        lines.append(f"{plan.num_unchanged} images were labelled before and did not change")
    lines += [f"  {count} failed: {reason}" for reason, count in summary.reasons.items()]
    if plan.num_failed_before:
        lines.append(
            f"{plan.num_failed_before} failed in an earlier run; --retry-failed tries again"
        )
    if plan.num_removed:
        lines.append(f"{plan.num_removed} rows belong to images that are no longer in the sources")
    if summary.outcome == "interrupted":
        lines.append(f"interrupted with {summary.left} images left; run the same command again")
    elif summary.outcome == "over budget":
        lines.append(f"stopped over the failure budget with {summary.left} images left")
    lines.append(f"results: {result.output} ({totals.images} images, {totals.objects} objects)")
    if summary.outcome != "interrupted":
        lines.append(f"  COCO: {result.annotations}")
    lines.append(f"  Parquet: {result.output / 'parts'}")
    if totals.failed:
        lines.append(f"  failures: {result.output / 'failures.jsonl'}")
    if result.previews:
        lines.append(f"  pictures: {result.output / 'preview'}")
    else:
        lines.append(f"next: ovsam report {result.output}, or add --preview 8 to look at some")
    return lines

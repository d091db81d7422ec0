"""The flags of `ovsam label`, named once; their defaults are those of `LabelConfig`.

None stands for "not given", so that a config file can speak where the command line does not.
"""

from __future__ import annotations

from typing import Annotated

import typer

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Folders (searched recursively), globs, image files, list files (one path or address "
        "a line), COCO or LVIS JSON files, .tar shards, .parquet files; here or at s3://, gs://, "
        "az://, hf://, https://.",
    ),
]
ImageRoot = Annotated[
    str | None,
    typer.Option(
        help="Folder or address that the names in COCO JSON files are relative to.  [default: "
        "looked for around the file]"
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="Output folder.  [default: beside the first source, with _ovsam behind its name]",
    ),
]
BoxesOutput = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="Output folder.  [default: beside the first source, with _boxes behind its name]",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Weights: a name (`ovsam models list`) or a file. auto: the best ones already in the "
        "cache, else the embedded nano.  [default: auto]"
    ),
]
Detector = Annotated[
    str | None,
    typer.Option(
        help="Source of boxes: detic, vitdet, faster-rcnn (`ovsam detectors` lists all), nano, "
        "torchvision, boxes:FILE, gt:FILE, gt:FILE#points. auto: the best one in the cache, else "
        "nano.  [default: auto]"
    ),
]
Vocabulary = Annotated[
    str | None,
    typer.Option(
        help="Class names to choose from: coco, lvis, lvis+imagenet21k, objects365, openimages, "
        "nano, a file, or the names with commas between. auto: nano with the model nano, the "
        "detector's names with --labels detector, else lvis.  [default: auto]"
    ),
]
DetectorVocabulary = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        help="Class names to look for, where the detector takes any (detic): a built-in name, a "
        "file, or names with commas between.  [default: the detector's own]",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Only these names come out, e.g. 'cat,dog'. Without --vocabulary, names that the "
        "default one lacks are added to it."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(help="Who names the objects: model, detector or fused.  [default: model]"),
]
ClassMap = Annotated[
    str | None,
    typer.Option(
        help="YAML or JSON file, detector's class: vocabulary's class, for names that differ."
    ),
]
AllowUnmatched = Annotated[
    bool | None,
    typer.Option(
        "--allow-unmatched",
        help="With --labels detector or fused: OV-SAM names the boxes of classes that the "
        "vocabulary lacks.",
    ),
]
Relabel = Annotated[
    str | None,
    typer.Option(
        metavar="OUT",
        help="Keep the objects and masks of this output folder and give them new labels, into "
        "another folder. Its sources, model and vocabulary stand in for those not given.",
    ),
]
Conf = Annotated[
    float | None,
    typer.Option(
        "--conf",
        "--confidence-threshold",
        help="Drop boxes with a lower detector score.  [default: 0.25]",
    ),
]
Iou = Annotated[
    float | None,
    typer.Option(
        help="Of two boxes, then of two masks, that overlap more, keep the better, whatever their "
        "classes.  [default: 0.5]"
    ),
]
MaxDet = Annotated[int | None, typer.Option(help="Most boxes an image.  [default: 300]")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="local (this process), ray (a cluster, or all cores and GPUs of this machine), or "
        "auto: ray where a cluster is named (--address, RAY_ADDRESS) or there are several GPUs.  "
        "[default: auto]"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Address of a Ray cluster, e.g. auto or ray://head:10001.  [default: RAY_ADDRESS, "
        "else Ray is started on this machine]"
    ),
]
NumGpus = Annotated[
    int | None, typer.Option(help="Most GPUs to use on a Ray cluster; 0: CPUs.  [default: all]")
]
NumActors = Annotated[
    int | None,
    typer.Option(help="Most workers on a Ray cluster.  [default: one a GPU, or what CPUs hold]"),
]
GpusPerActor = Annotated[
    float | None,
    typer.Option(help="GPUs a worker holds; 0.5 puts two on one GPU.  [default: 1]"),
]
CpusPerActor = Annotated[
    int | None,
    typer.Option(help="CPUs a worker holds.  [default: 1 beside a GPU, 2 without]"),
]
ImageTimeout = Annotated[
    float | None,
    typer.Option(
        help="A worker that finishes no image for this many seconds is replaced (Ray).  "
        "[default: 600]"
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.  [default: auto]")]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="auto, fp32, bf16 or fp16. auto: bf16 on GPUs that have it, else fp32.  "
        "[default: auto]"
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile", help="Compile the detector: minutes at the start, faster afterwards."
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(help="Images the networks see together.  [default: 1 on a CPU, 8 on a GPU]"),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Threads that decode images.  [default: by the machine, at most 8]"),
]
OnExisting = Annotated[
    str | None,
    typer.Option(
        help="When the output holds results: resume (label what is new or changed), overwrite or "
        "error.  [default: resume]"
    ),
]
RetryFailed = Annotated[
    bool | None,
    typer.Option(
        "--retry-failed",
        help="Label failed images again. With an output folder in place of sources: those alone, "
        "by its own sources and settings.",
    ),
]
Prune = Annotated[
    bool | None,
    typer.Option("--prune", help="Remove the rows of images that are no longer in the sources."),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        help="Stop in good order after this time (6h, 90m, 1h30m, seconds) with exit code 6; the "
        "same command goes on.  [default: no limit]"
    ),
]
MetricsFile = Annotated[
    str | None,
    typer.Option(
        help="Write the counts of the run to this Prometheus text file, e.g. for a node exporter."
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(help="Stop with exit code 4 when more images fail.  [default: no limit]"),
]
MaxFailureRate = Annotated[
    float | None,
    typer.Option(
        help="The same as a fraction of the images to label, 0 to 1.  [default: no limit]"
    ),
]
Preview = Annotated[
    int | None,
    typer.Option(help="Draw this many labelled images into OUTPUT/preview.  [default: 0]"),
]
PartImages = Annotated[
    int | None,
    typer.Option(
        help="Images in one Parquet part; what is in a part is safe.  [default: 64, up to 1024 in "
        "runs of millions]"
    ),
]
PartSeconds = Annotated[
    float | None,
    typer.Option(
        help="Write a part after this time even when it is not full.  [default: 10; 60 from "
        "100,000 images on]"
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", help="YAML file with any of these flags; the command line wins."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings, errors and the summary alone.")
]
LogFormat = Annotated[
    str, typer.Option(help="How notes and progress are written to stderr: text or json.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]

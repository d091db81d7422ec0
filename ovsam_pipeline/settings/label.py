"""What `ovsam label` and `ovsam detect` can be asked, and what they share with `ovsam eval`.

Command line and config file → `LabelConfig`: frozen, and checked when made. Loads no torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ovsam.errors import ConfigError
from ovsam_pipeline.settings.setting import (
    Panel,
    document_settings,
    list_settings,
    parse_duration,
    parse_names,
    setting,
    settle_fields,
)

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
Labels = Literal["auto", "model", "detector", "fused"]

CLUSTER_SETTINGS = ("address", "num_gpus", "num_actors", "gpus_per_actor", "cpus_per_actor")


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """Settings that an evaluation hands to its labelling as they are."""

    model: str = setting(
        "auto",
        Panel.MODELS,
        "Weights: a name (`ovsam models list`), a file, or the folder of a training, which brings "
        "its own classes. auto takes the best in the cache, else the embedded photo.",
        metavar="NAME",
        retry="resolved",
    )
    labels: Labels = setting(
        "auto",
        Panel.RESULT,
        "Who names the objects: OV-SAM (model), the detector, or both together (fused). auto: both "
        "with the embedded model and detector photo, the detector with a SAM alone, else OV-SAM.",
        retry="resolved",
    )
    conf: float = setting(
        0.25,
        Panel.RESULT,
        "Drop boxes with a lower detector score.",
        flags=("--conf", "--confidence-threshold"),
        most=1,
    )
    iou: float = setting(
        0.5,
        Panel.RESULT,
        "Of two boxes that overlap more, keep the better, whatever their classes; then the same "
        "with masks. 1 keeps all.",
        most=1,
    )
    min_match: float = setting(
        0.5,
        Panel.RESULT,
        "Stop at the start where fewer than this share of the images (of the run, or of the file "
        "where it has fewer) are those of boxes:FILE, gt:FILE or --predictions, or fewer of the "
        "boxes can be used; 0 goes on with what matches.",
        most=1,
        more="See [detectors.md](detectors.md#names-that-differ).",
    )
    device: str = setting(
        "auto",
        Panel.SPEED,
        "cpu, cuda or cuda:1. auto takes a GPU where there is one.",
        metavar="DEVICE",
    )
    dtype: Dtype = setting(
        "auto",
        Panel.SPEED,
        "Precision of the networks. auto: bf16 on GPUs that compute it natively, else fp32.",
        retry="resolved",
    )
    batch: int | None = setting(
        None, Panel.SPEED, "Images per forward pass.", shown="1 on a CPU, 8 on a GPU", least=1
    )
    workers: int | None = setting(
        None, Panel.SPEED, "Threads that decode images.", shown="by the machine, at most 8", least=1
    )
    max_pixels: int = setting(
        256_000_000,
        Panel.SPEED,
        "Fail images with more pixels than this before they are decoded, which takes up to 8 bytes "
        "of memory a pixel.",
        least=1,
        more="See [inputs.md](inputs.md#decoding).",
    )
    address: str | None = setting(
        None,
        Panel.SPEED,
        "Address of a Ray cluster, e.g. auto or head:6379.",
        metavar="ADDRESS",
        shown="RAY_ADDRESS, else Ray is started on this machine",
    )
    num_gpus: int | None = setting(
        None, Panel.SPEED, "Most GPUs to use on a Ray cluster; 0 uses CPUs.", shown="all", least=0
    )
    num_actors: int | None = setting(
        None,
        Panel.SPEED,
        "Most workers on a Ray cluster.",
        shown="one per GPU, or as many as the CPUs hold",
        least=1,
    )
    gpus_per_actor: float | None = setting(
        None, Panel.SPEED, "GPUs per worker; 0.5 puts two workers on one GPU.", shown="1", least=0
    )
    cpus_per_actor: int | None = setting(
        None, Panel.SPEED, "CPUs per worker.", shown="1 with a GPU, 2 without", least=1
    )
    on_existing: Literal["resume", "overwrite", "error"] = setting(
        "resume",
        Panel.RUNS,
        "What to do when the output holds results. resume labels only what is new or changed.",
        retry="own",
    )
    retry_failed: bool = setting(
        False,
        Panel.RUNS,
        "Label failed images again, also those that are broken themselves.",
        retry="own",
    )
    max_failures: int | None = setting(
        None,
        Panel.RUNS,
        "Stop with exit code 4 when more images than this fail.",
        shown="no limit",
        least=0,
        retry="own",
    )
    max_failure_rate: float | None = setting(
        None,
        Panel.RUNS,
        "The same as a fraction (0 to 1) of the images that this run has to label, or of 20 where "
        "these are fewer.",
        shown="no limit",
        most=1,
        retry="own",
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML and JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@document_settings
@dataclass(frozen=True, kw_only=True)
class LabelConfig(SharedConfig):
    """Everything that `ovsam label` can be asked.

    Raises:
        ConfigError: a value has the wrong type, is out of range or not among the choices, or two
            contradict each other.
    """

    sources: tuple[str, ...] = setting(
        (),
        Panel.WHAT,
        "Folders (searched recursively), globs, image files, list files (one path or address per "
        "line), COCO or LVIS JSON files, .tar shards, .parquet files; local or at s3://, gs://, "
        "az://, hf://, https://.",
        flags=("SOURCE...",),
        parse=lambda _, text: (text,),
        retry="own",
        more="See [inputs.md](inputs.md).",
    )
    image_root: str | None = setting(
        None,
        Panel.WHAT,
        "Folder or address that the names in COCO JSON files are relative to.",
        metavar="DIR",
        shown="found beside the file",
    )
    exclude: tuple[str, ...] = setting(
        (),
        Panel.WHAT,
        "Leave out the images whose name matches, and folders with all below; may be given again. "
        "'*.png' and 'thumbs' mean any part of a name, 'day1/*.png' the name from its start, '**' "
        "any folders.",
        metavar="GLOB",
        parse=lambda _, text: (text,),
        repeats=True,
        more="See [inputs.md](inputs.md#what-is-left-out).",
    )
    relabel: str | None = setting(
        None,
        Panel.WHAT,
        "Keep the objects and masks of this output folder and give them new labels, in another "
        "folder. Sources, model and vocabulary that are not given are those of OUT.",
        metavar="OUT",
        more="See [below](#new-names-for-old-masks).",
    )
    detector: str = setting(
        "auto",
        Panel.MODELS,
        "Source of boxes: detic, vitdet, faster-rcnn (`ovsam detectors` lists all), nano, "
        "photo, torchvision, hf:MODEL, detectron2:CONFIG, python:FILE.py, boxes:FILE, gt:FILE, "
        "gt:FILE#points. auto takes the best in the cache, else photo; nano with the model nano.",
        metavar="NAME",
        retry="resolved",
        more="See [detectors.md](detectors.md).",
    )
    vocabulary: str = setting(
        "auto",
        Panel.MODELS,
        "Class names to choose from: a built-in name (`ovsam vocabularies`), a file, names with "
        "commas between, or examples:REFS, drawn boxes or crops. auto: everyday with the model "
        "photo, nano's own names with nano, the detector's with --labels detector, else lvis.",
        metavar="NAME",
        more="See [vocabularies.md](vocabularies.md).",
    )
    classes: tuple[str, ...] = setting(
        (),
        Panel.RESULT,
        "Keep only objects with these names, e.g. 'cat,dog'. Without --vocabulary, names that the "
        "default one lacks are added to it.",
        metavar="NAMES",
        parse=parse_names,
        more="See [below](#which-name-an-object-gets).",
    )
    class_map: str | None = setting(
        None,
        Panel.RESULT,
        "YAML or JSON file, detector's class: vocabulary's class, for names that differ.",
        metavar="FILE",
        more="See [detectors.md](detectors.md#two-names-for-one-class).",
    )
    allow_unmatched: bool = setting(
        False,
        Panel.RESULT,
        "With --labels detector or fused, let OV-SAM name the boxes of classes that the "
        "vocabulary lacks.",
    )
    min_score: float = setting(
        0.0,
        Panel.RESULT,
        "Drop objects whose label scores lower, whoever named it; --conf is the detector's score "
        "of the box. 0 keeps all.",
        most=1,
        more="See [below](#which-name-an-object-gets).",
    )
    below: Literal["drop", "other"] = setting(
        "drop",
        Panel.RESULT,
        "What becomes of objects whose label scores below --min-score: they are dropped, or named "
        "other and keep their mask.",
        more="See [below](#which-name-an-object-gets).",
    )
    max_det: int = setting(300, Panel.RESULT, "Most boxes per image.", least=1)
    compile: bool = setting(
        False,
        Panel.SPEED,
        "Put the body of Detic, ViTDet or Faster R-CNN through torch.compile: minutes at the "
        "start, faster afterwards.",
    )
    engine: Literal["auto", "local", "ray"] = setting(
        "auto",
        Panel.SPEED,
        "local: this process. ray: a cluster, or all cores and GPUs of this machine. auto: ray "
        "where --address or RAY_ADDRESS names a cluster, where more than one GPU or worker is "
        "asked for, or where this machine has several GPUs and --device names none.",
        more="See [cluster.md](cluster.md).",
    )
    image_timeout: float = setting(
        600.0,
        Panel.SPEED,
        "Replace a process, here or of a cluster, that finishes no image for this many seconds.",
        metavar="SECONDS",
        above=0,
    )
    retry_failed: bool = setting(
        False,
        Panel.RUNS,
        "Label failed images again, also those that are broken themselves. With an output folder "
        "as the only source: those alone, with its own sources and settings.",
        retry="own",
        more="See [cron.md](cron.md#limits).",
    )
    prune: bool = setting(
        False,
        Panel.RUNS,
        "Remove the rows of images that are no longer in the sources.",
        retry="own",
    )
    time_limit: float | None = setting(
        None,
        Panel.RUNS,
        "Stop cleanly after this time (6h, 90m, 1h30m or seconds) with exit code 6; the same "
        "command resumes.",
        metavar="TIME",
        shown="no limit",
        above=0,
        parse=parse_duration,
        retry="own",
    )
    metrics_file: str | None = setting(
        None,
        Panel.RUNS,
        "Write the counts of the run to this Prometheus text file, e.g. for a node exporter.",
        metavar="FILE",
        retry="own",
        more="See [cron.md](cron.md#prometheus).",
    )
    output: str | None = setting(
        None,
        Panel.OUTPUT,
        "Output folder.",
        flags=("--output", "-o"),
        metavar="DIR",
        shown="FOLDER_ovsam, beside the folder of the images",
        retry="own",
    )
    preview: int = setting(
        0,
        Panel.OUTPUT,
        "Draw this many images with their objects, spread evenly over the output, into "
        "OUTPUT/preview.",
        least=0,
        retry="own",
    )
    # More images per part make fewer files of a large run; fewer are lost by a crash.
    part_images: int | None = setting(
        None,
        Panel.OUTPUT,
        "Images per Parquet part.",
        shown="64; a ten-thousandth of 640,000 images or more, at most 1,024",
        least=1,
    )
    part_seconds: float | None = setting(
        None,
        Panel.OUTPUT,
        "Write a part after this time even when it is not full: a crash loses no more than that.",
        metavar="SECONDS",
        shown="10; 60 from 100,000 images",
        above=0,
    )
    protocol: str = setting(
        "label",
        Panel.INTERNAL,
        "label, or as an evaluation labels: evaluate keeps objects with an empty mask and never "
        "chooses a class outside the base/novel split; evaluate-all-classes does the former only; "
        "evaluate-released-points is evaluate with the detector's boxes given to frozen CLIP.",
    )
    only_failed: bool = setting(
        False,
        Panel.INTERNAL,
        "Leave new and changed images alone, as --retry-failed OUT does.",
        retry="own",
    )

    def __post_init__(self) -> None:
        settle_fields(self)
        if not all(self.sources) or not (self.sources or self.relabel):
            raise ConfigError("expected at least one source (folder, glob, list or COCO JSON)")
        given = [name for name in CLUSTER_SETTINGS if getattr(self, name) is not None]
        if given and self.engine == "local":
            flag = list_settings(LabelConfig)[given[0]].flag
            raise ConfigError(
                f"{flag} needs a Ray cluster, but --engine local labels in this process; drop one "
                "of the two"
            )

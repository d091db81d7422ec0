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

_OF_A_CLUSTER = ("address", "num_gpus", "num_actors", "gpus_per_actor", "cpus_per_actor")


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """Settings that an evaluation hands to its labelling as they are."""

    model: str = setting(
        "auto",
        "Weights: a name (`ovsam models list`) or a file. auto: the best ones already in the "
        "cache, else the embedded nano.",
        panel=Panel.MODELS,
        retry="resolved",
    )
    labels: Literal["model", "detector", "fused"] = setting(
        "model",
        "Who names the objects: model, detector or fused.",
        panel=Panel.RESULT,
        retry="given",
    )
    conf: float = setting(
        0.25,
        "Drop boxes with a lower detector score.",
        panel=Panel.RESULT,
        flags=("--conf", "--confidence-threshold"),
        most=1,
        retry="given",
    )
    iou: float = setting(
        0.5,
        "Of two boxes, then of two masks, that overlap more, keep the better, whatever their "
        "classes.",
        panel=Panel.RESULT,
        most=1,
        retry="given",
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:1.", panel=Panel.SPEED, retry="given")
    dtype: Dtype = setting(
        "auto",
        "auto, fp32, bf16 or fp16. auto: bf16 on GPUs that have it, else fp32.",
        panel=Panel.SPEED,
        retry="resolved",
    )
    batch: int | None = setting(
        None,
        "Images the networks see together.",
        panel=Panel.SPEED,
        shown_default="1 on a CPU, 8 on a GPU",
        least=1,
        retry="given",
    )
    workers: int | None = setting(
        None,
        "Threads that decode images.",
        panel=Panel.SPEED,
        shown_default="by the machine, at most 8",
        least=1,
        retry="given",
    )
    address: str | None = setting(
        None,
        "Address of a Ray cluster, e.g. auto or ray://head:10001.",
        panel=Panel.SPEED,
        shown_default="RAY_ADDRESS, else Ray is started on this machine",
        retry="given",
    )
    num_gpus: int | None = setting(
        None,
        "Most GPUs to use on a Ray cluster; 0: CPUs.",
        panel=Panel.SPEED,
        shown_default="all",
        least=0,
        retry="given",
    )
    num_actors: int | None = setting(
        None,
        "Most workers on a Ray cluster.",
        panel=Panel.SPEED,
        shown_default="one a GPU, or what CPUs hold",
        least=1,
        retry="given",
    )
    gpus_per_actor: float | None = setting(
        None,
        "GPUs a worker holds; 0.5 puts two on one GPU.",
        panel=Panel.SPEED,
        shown_default="1",
        least=0,
        retry="given",
    )
    cpus_per_actor: int | None = setting(
        None,
        "CPUs a worker holds.",
        panel=Panel.SPEED,
        shown_default="1 beside a GPU, 2 without",
        least=1,
        retry="given",
    )
    on_existing: Literal["resume", "overwrite", "error"] = setting(
        "resume",
        "When the output holds results: resume (label what is new or changed), overwrite or error.",
        panel=Panel.RUNS,
    )
    retry_failed: bool = setting(
        False,
        "Label failed images again. With an output folder in place of sources: those alone, by "
        "its own sources and settings.",
        panel=Panel.RUNS,
    )
    max_failures: int | None = setting(
        None,
        "Stop with exit code 4 when more images fail.",
        panel=Panel.RUNS,
        shown_default="no limit",
        least=0,
    )
    max_failure_rate: float | None = setting(
        None,
        "The same as a fraction of the images to label, 0 to 1.",
        panel=Panel.RUNS,
        shown_default="no limit",
        most=1,
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
        "Folders (searched recursively), globs, image files, list files (one path or address a "
        "line), COCO or LVIS JSON files, .tar shards, .parquet files; here or at s3://, gs://, "
        "az://, hf://, https://.",
        panel=Panel.WHAT,
        flags=("SOURCE...",),
        parse=lambda _, text: (text,),
    )
    image_root: str | None = setting(
        None,
        "Folder or address that the names in COCO JSON files are relative to.",
        panel=Panel.WHAT,
        shown_default="looked for around the file",
        retry="given",
    )
    output: str | None = setting(
        None,
        "Output folder.",
        panel=Panel.OUTPUT,
        flags=("--output", "-o"),
        shown_default="beside the first source, with _ovsam behind its name",
    )
    detector: str = setting(
        "auto",
        "Source of boxes: detic, vitdet, faster-rcnn (`ovsam detectors` lists all), nano, "
        "torchvision, boxes:FILE, gt:FILE, gt:FILE#points. auto: the best one in the cache, else "
        "nano.",
        panel=Panel.MODELS,
        retry="resolved",
    )
    vocabulary: str = setting(
        "auto",
        "Class names to choose from: coco, lvis, lvis+imagenet21k, objects365, openimages, nano, "
        "a file, or the names with commas between. auto: nano with the model nano, the detector's "
        "names with --labels detector, else lvis.",
        panel=Panel.MODELS,
        retry="given",
    )
    classes: tuple[str, ...] = setting(
        (),
        "Only these names come out, e.g. 'cat,dog'. Without --vocabulary, names that the default "
        "one lacks are added to it.",
        panel=Panel.RESULT,
        parse=parse_names,
        retry="given",
    )
    class_map: str | None = setting(
        None,
        "YAML or JSON file, detector's class: vocabulary's class, for names that differ.",
        panel=Panel.RESULT,
        retry="given",
    )
    allow_unmatched: bool = setting(
        False,
        "With --labels detector or fused: OV-SAM names the boxes of classes that the vocabulary "
        "lacks.",
        panel=Panel.RESULT,
        retry="given",
    )
    relabel: str | None = setting(
        None,
        "Keep the objects and masks of this output folder and give them new labels, into another "
        "folder. Its sources, model and vocabulary stand in for those not given.",
        panel=Panel.WHAT,
        metavar="OUT",
        retry="given",
    )
    max_det: int = setting(300, "Most boxes an image.", panel=Panel.RESULT, least=1, retry="given")
    compile: bool = setting(
        False,
        "Compile the detector: minutes at the start, faster afterwards.",
        panel=Panel.SPEED,
        retry="given",
    )
    engine: Literal["auto", "local", "ray"] = setting(
        "auto",
        "local (this process), ray (a cluster, or all cores and GPUs of this machine), or auto: "
        "ray where a cluster is named (--address, RAY_ADDRESS) or there are several GPUs.",
        panel=Panel.SPEED,
        retry="given",
    )
    image_timeout: float = setting(
        600.0,
        "A worker that finishes no image for this many seconds is replaced (Ray).",
        panel=Panel.SPEED,
        above=0,
        retry="given",
    )
    prune: bool = setting(
        False, "Remove the rows of images that are no longer in the sources.", panel=Panel.RUNS
    )
    time_limit: float | None = setting(
        None,
        "Stop in good order after this time (6h, 90m, 1h30m, seconds) with exit code 6; the same "
        "command goes on.",
        panel=Panel.RUNS,
        shown_default="no limit",
        above=0,
        parse=parse_duration,
    )
    metrics_file: str | None = setting(
        None,
        "Write the counts of the run to this Prometheus text file, e.g. for a node exporter.",
        panel=Panel.RUNS,
    )
    preview: int = setting(
        0, "Draw this many labelled images into OUTPUT/preview.", panel=Panel.OUTPUT, least=0
    )
    part_images: int | None = setting(
        None,
        "Images in one Parquet part; what is in a part is safe.",
        panel=Panel.OUTPUT,
        shown_default="64, up to 1024 in runs of millions",
        least=1,
        retry="given",
    )
    part_seconds: float | None = setting(
        None,
        "Write a part after this time even when it is not full.",
        panel=Panel.OUTPUT,
        shown_default="10; 60 from 100,000 images on",
        above=0,
        retry="given",
    )
    protocol: str = setting(
        "label",
        "label, or as an evaluation labels: evaluate keeps objects with an empty mask and never "
        "chooses a class outside the base/novel split; evaluate-all-classes does the former only; "
        "evaluate-released-points is evaluate with the detector's boxes given to frozen CLIP.",
        panel=Panel.INTERNAL,
        retry="given",
    )
    only_failed: bool = setting(
        False,
        "Leave new and changed images alone, as `--retry-failed OUT` does.",
        panel=Panel.INTERNAL,
    )

    def __post_init__(self) -> None:
        settle_fields(self)
        if not all(self.sources) or not (self.sources or self.relabel):
            raise ConfigError("expected at least one source (folder, glob, list or COCO JSON)")
        given = [name for name in _OF_A_CLUSTER if getattr(self, name) is not None]
        if given and self.engine == "local":
            flag = list_settings(LabelConfig)[given[0]].flag
            raise ConfigError(
                f"{flag} needs a Ray cluster, but --engine local labels in this process; drop one "
                "of the two"
            )

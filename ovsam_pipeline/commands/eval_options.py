"""The flags of `ovsam eval` that `ovsam label` does not have; their defaults are `EvalConfig`'s.

None stands for "not given", so that a protocol file can speak where the command line does not.
"""

from __future__ import annotations

from typing import Annotated

import typer

Dataset = Annotated[
    str | None,
    typer.Option(
        help="coco, lvis, scenes, coco_2017_train, lvis_v1_train, lvis_v1_minival, or a COCO or "
        "LVIS JSON file."
    ),
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        help="Folder of the named data sets.  [default: $OVSAM_DATA, $DETECTRON2_DATASETS, "
        "./datasets]"
    ),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Output folder.  [default: eval_DATASET here]"),
]
Predictions = Annotated[
    str | None,
    typer.Option(
        help="Measure these instead of labelling: an output folder of `ovsam label`, or a COCO "
        "results file."
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="paper-table-1 … paper-table-10 (1-points: centre points), or a YAML file with any of "
        "these flags; the command line wins."
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        help="gt-box or gt-point: IoU and accuracy of each annotation. detector: boxes of "
        "--detector, measured by AP.  [default: gt-box]"
    ),
]
Scores = Annotated[
    str | None,
    typer.Option(
        help="What ranks predictions for AP: stored (as in the output), detector, model, or "
        "product of both.  [default: stored]"
    ),
]
Types = Annotated[
    str | None,
    typer.Option(
        "--type", "--types", help="AP of bbox, segm or both.  [default: what the predictions have]"
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="fast, or the oracles: reference (pycocotools, lvis-api), faster-coco-eval.  "
        "[default: fast]"
    ),
]
AreaRule = Annotated[
    str | None,
    typer.Option(
        help="Area of a prediction for APs/APm/APl: box, mask, or auto: box where predictions have "
        "boxes, as the reference tools.  [default: auto]"
    ),
]
ClassAgnostic = Annotated[
    bool | None, typer.Option("--class-agnostic", help="AP and AR without looking at classes.")
]
ClassMap = Annotated[
    str | None,
    typer.Option(help="JSON or YAML file: predicted class name → name in the data set."),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="auto: base and novel classes of the data set (COCO 48/17, LVIS rare); only: without "
        "classes in neither set; none.  [default: auto]"
    ),
]
ReleasedPoints = Annotated[
    bool | None,
    typer.Option(
        "--released-points",
        help="With gt-point, give frozen CLIP the annotated boxes, as the released code does.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Only the first images, by id.")]
Baseline = Annotated[
    str | None,
    typer.Option(help="metrics.json of an earlier run to compare with; exit code 5 on a drop."),
]
Tolerance = Annotated[
    float | None,
    typer.Option(help="A drop up to this is accepted, as a fraction.  [default: 0.005]"),
]
Resamples = Annotated[
    int | None, typer.Option(help="Bootstrap resamples of the images.  [default: 200]")
]
Plots = Annotated[bool | None, typer.Option("--plots/--no-plots", help="Draw plots.")]
Worst = Annotated[int | None, typer.Option(help="Draw this many bad instances.  [default: 20]")]
Detector = Annotated[
    str | None,
    typer.Option(help="Source of boxes with --prompts detector, as in `ovsam label`."),
]
Vocabulary = Annotated[
    str | None,
    typer.Option(
        help="Class names to choose from, as in `ovsam label`; other names than the data set's are "
        "matched by name and alias.  [default: the data set's]"
    ),
]
Conf = Annotated[
    float | None, typer.Option(help="Drop boxes with a lower detector score.  [default: 0.001]")
]
Iou = Annotated[
    float | None,
    typer.Option(
        help="Of two boxes that overlap more, keep the better; 1 keeps all.  [default: 1]"
    ),
]
MaxDet = Annotated[int | None, typer.Option(help="Most boxes an image.  [default: 100, LVIS 300]")]

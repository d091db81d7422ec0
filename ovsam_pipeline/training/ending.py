"""What `ovsam train` says at its end: where the result is, and the command that comes next."""

from __future__ import annotations

import shlex

from ovsam.weights.run_folder import MODEL_FILE, VOCABULARY_FILE
from ovsam_pipeline.training.request import StageRequest

_LABEL = "label IMAGES --model {out} -o labels"
_EVALUATE = "eval --dataset ANNOTATIONS.json --model {model} -o scores"
# By stage; names in capitals are for the user to fill in.
_NEXT = {
    "pool": "train clip --config nano-clip --data {out} --out FOLDER",
    "clip": "train text --config nano-text --init {out} --out FOLDER",
    "text": "train masks --config nano-masks --data POOL --init {out} --out FOLDER",
    "teacher": "train cache-teacher --config nano-distil --data POOL --init {out} --out FOLDER",
    "cache-teacher": "train distil --config sam2clip --data IMAGES --init {out} --init START "
    "--out FOLDER",
    "start": "train distil --config sam2clip --data IMAGES --init TEACHER --init {out} "
    "--out FOLDER",
    "distil": "train joint --config clip2sam-coco --data ANNOTATIONS.json --images IMAGES "
    "--init {out} --out FOLDER",
    "masks": "train labels --config finetune-labels --data ANNOTATIONS.json --images IMAGES "
    "--init {out} --out FOLDER",
    "labels": _LABEL,
    "joint": _LABEL,
    "merge": _LABEL,
    "combine": _EVALUATE,
    "baseline": _EVALUATE,
}


def describe_end(request: StageRequest) -> list[str]:
    """Return the last lines of a stage that ran to its end."""
    out = request.out
    model = out if out.suffix == ".safetensors" else out / MODEL_FILE  # `merge` takes a file
    vocabulary = out / VOCABULARY_FILE
    lines = [f"model: {model}" if model.is_file() else f"results: {out}"]
    if vocabulary.is_file():
        lines.append(f"classes: {vocabulary}")
    if following := _NEXT.get(request.stage):
        places = {"out": shlex.quote(str(out)), "model": shlex.quote(str(model))}
        lines.append(f"next: ovsam {following.format(**places)}")
    return lines

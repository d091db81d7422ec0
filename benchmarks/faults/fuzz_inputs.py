"""Mutated files of every kind that `ovsam` reads: tracebacks, crashes, hangs and memory counted.

    python benchmarks/faults/fuzz_inputs.py --inputs 12000 --seed 1
    python benchmarks/faults/fuzz_inputs.py --inputs 500 --kind run.json --seed 7

Each input is one good file with some bytes, or some values, changed. It is given to the functions
that the commands call, in a process of its own kind, which is watched: what is raised and is no
error of ovsam's (a sentence) counts as a traceback, a process that dies as a crash, an input that
takes more than 10 s as a hang. Prints one JSON object; exits 1 when a count is not 0. The same seed
gives the same inputs.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ovsam.errors import OvsamError

HANG_S = 10
_LETTERS = "aé\x00\x1b\n\"'\\[]{}:,#&*!|>-0159.eE+ \t\ud83d\u202e"
_ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e308,
    float("inf"), float("nan"), "", "0", "x", "a/../../b", "/etc/passwd", "\x00", "\x1b[2J",
    "\ud800", "é" * 300, "y" * 5000, [], {}, [[]], [None], [1, 2, 3, 4], {"a": 1}, [{"id": 1}],
    "python:x.py", "http://127.0.0.1:9/a.png", "s3:/b/k",
]  # fmt: skip


class Kind(NamedTuple):
    """A kind of file: how it begins, how it is changed, and what reads it.

    Attributes:
        make: writes what the reader needs besides into a folder; returns the good content.
        read: given the changed file, does what the commands do with it.
    """

    name: str
    make: Callable[[Path], Any]
    change: Callable[[random.Random, Any], bytes]
    read: Callable[[Path], None]


class Hang(BaseException):
    """An input took too long; not an Exception, so that no reader catches it."""


# --- changes ------------------------------------------------------------------------------------


def change_bytes(random_: random.Random, content: bytes) -> bytes:
    """Flip, cut, repeat, insert or exchange some bytes."""
    data = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 4, 16))):
        place = random_.randrange(len(data) + 1)
        length = random_.choice((1, 2, 8, 64))
        match random_.randrange(6):
            case 0 if data:
                data[place % len(data)] = random_.randrange(256)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = random_.randbytes(length)
            case 3:
                data[place:place] = data[: random_.randrange(len(data) + 1)][:4096]
            case 4:
                del data[place:]
            case 5 if data:
                data[place % len(data)] ^= 1 << random_.randrange(8)
    return bytes(data)


def change_text(random_: random.Random, content: str) -> bytes:
    """Change lines and letters of a text, or its bytes."""
    lines = content.split("\n")
    for _ in range(random_.choice((1, 2, 5))):
        row = random_.randrange(len(lines))
        line = lines[row]
        place = random_.randrange(len(line) + 1)
        match random_.randrange(6):
            case 0:
                lines[row] = line[:place] + random_.choice(_LETTERS) + line[place:]
            case 1:
                lines[row] = line[:place]
            case 2:
                lines.insert(row, random_.choice(lines))
            case 3:
                lines[row] = line[:place] + str(random_.choice(_ODD_VALUES))[:300]
            case 4:
                lines[row] = random_.choice("[{-&*!") * random_.choice((1, 3, 200, 3000)) + line
            case 5:
                lines[row] = " " * random_.randrange(9) + line
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    return data if random_.random() < 0.8 else change_bytes(random_, data)


def change_values(random_: random.Random, value: Any) -> Any:
    """Return plain values with some replaced, lost, repeated or nested."""
    value = copy.deepcopy(value)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        places = list(_list_places(value))
        if not places:
            return random_.choice(_ODD_VALUES)
        inner, key = random_.choice(places)
        match random_.randrange(8):
            case 0 | 1 | 2 | 3:
                # A copy: a later round may change what is inside.
                inner[key] = copy.deepcopy(random_.choice(_ODD_VALUES))
            case 4:
                del inner[key]
            case 5 if isinstance(inner, list):
                inner.append(copy.deepcopy(inner[key]))
            case 6:
                inner[key] = [inner[key]] if random_.random() < 0.5 else {"x": inner[key]}
            case _:
                other, other_key = random_.choice(places)
                inner[key] = copy.deepcopy(other[other_key])
    return value


def _list_places(value: Any) -> Any:
    """Yield (list or object, key) of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if not isinstance(value, dict | list):
        return
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from _list_places(item)


def change_json(random_: random.Random, value: Any) -> bytes:
    """Change values, now and then the text, now and then nest deeply."""
    if random_.random() < 0.03:
        return random_.choice((b"[", b'{"a":')) * random_.choice((90, 999, 100_000))
    text = json.dumps(change_values(random_, value))
    if random_.random() < 0.05:
        deep = "[" * 5000 + "]" * 5000
        text = text.replace(": 1", f": {deep}", 1)
    return text.encode() if random_.random() < 0.85 else change_bytes(random_, text.encode())


def change_yaml(random_: random.Random, value: Any) -> bytes:
    """Change values or the text of a YAML file."""
    if random_.random() < 0.5:
        changed = change_values(random_, value)
        return yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass")
    return change_text(random_, yaml.safe_dump(value))


# --- kinds --------------------------------------------------------------------------------------


def _coco() -> dict[str, Any]:
    images = [{"id": k, "file_name": f"{k}.png", "width": 32, "height": 24} for k in (1, 2, 3)]
    annotations = [
        {
            "id": k,
            "image_id": 1 + k % 3,
            "category_id": 1 + k % 2,
            "bbox": [4, 3, 10, 8],
            "area": 80,
            "iscrowd": 0,
            "segmentation": [[4, 3, 14, 3, 14, 11, 4, 11]]
            if k % 2
            else {"size": [24, 32], "counts": [100, 50, 618]},
        }
        for k in range(1, 6)
    ]
    categories = [{"id": 1, "name": "cat", "frequency": "f"}, {"id": 2, "name": "dog"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def _results() -> list[dict[str, Any]]:
    return [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in _coco()["annotations"]
    ]


def _draw_image(kind: str, folder: Path | None = None) -> bytes:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    for name in (1, 2, 3) if folder else ():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return stream.getvalue()


def _settings(spec: str, path: Path) -> Any:
    from ovsam_pipeline.detectors.settings import DetectorSettings

    return DetectorSettings(spec=f"{spec}:{path}", argument=str(path))


def _read_boxes(path: Path) -> None:
    from ovsam_pipeline.detectors.stored.boxes_file import build_boxes_detector

    build_boxes_detector(_settings("boxes", path))


def _read_truth_boxes(path: Path) -> None:
    from ovsam_pipeline.detectors.stored.ground_truth import build_ground_truth_detector

    build_ground_truth_detector(_settings("gt", path))


def _read_sources(path: Path) -> None:
    from ovsam_pipeline.sources.listing import list_images

    for record in list_images([str(path)]):
        json.dumps(record.file_name).encode()
        _ = record.identity, record.image_id


def _read_evaluation(path: Path) -> None:
    from ovsam_pipeline.evaluation.run import evaluate

    evaluate(
        path,
        predictions=str(path.parent / "results.json"),
        output=str(path.parent / "scores"),
        plots=False,
        worst=0,
    )


def _read_results(path: Path) -> None:
    from ovsam_pipeline.evaluation.reading.predictions import read_predictions
    from ovsam_pipeline.evaluation.reading.truth import read_ground_truth
    from ovsam_pipeline.evaluation.scoring.average_precision import score_detections

    truth = read_ground_truth(path.parent / "truth.json")
    truth, found = read_predictions(path, truth)
    score_detections(truth, found, "bbox")


def _make_truth(folder: Path) -> Any:
    _draw_image("PNG", folder)
    (folder / "truth.json").write_text(json.dumps(_coco()))
    (folder / "results.json").write_text(json.dumps(_results()))
    return _coco()


def _make_results(folder: Path) -> Any:
    _make_truth(folder)
    return _results()


def _read_classes(path: Path) -> None:
    from ovsam.text.class_list import read_class_file

    for item in read_class_file(path)[0]:
        item.name.encode()


def _make_names(folder: Path) -> str:
    del folder
    return "cat, kitty\ndog\n# rest\nred backpack\nC#\nmug,cup\n" + "\n".join(map(str, range(9)))


def _read_class_map(path: Path) -> None:
    from ovsam_pipeline.detectors.class_match import read_class_map

    read_class_map(path, ["a", "b"], ["cat", "dog"], ("the detector", "the vocabulary"))


def _read_config(path: Path) -> None:
    from ovsam_pipeline.runs.settings import load_label_config

    load_label_config(str(path), {"sources": ("x",)})


def _read_training_config(path: Path) -> None:
    from ovsam.strict import build_strict
    from ovsam.training.stages.label import LabelStageSettings
    from ovsam_pipeline.training.request import StageRequest

    values = StageRequest(stage="labels", out=path.parent, config=path).values()
    build_strict(LabelStageSettings, values, str(path))


def _make_part(folder: Path) -> bytes:
    """A part of three rows."""
    from ovsam.structures import RLE
    from ovsam_pipeline.output.parts import write_part
    from ovsam_pipeline.records import BoxRecord, LabelRecord, ObjectRecord, compute_image_id

    mask = RLE(size=(24, 32), counts="T3:000000000000PR1")
    prompt = BoxRecord((4.0, 3.0, 14.0, 11.0), 0.9, "cat")
    item = ObjectRecord(
        prompt, (4.0, 3.0, 10.0, 8.0), 1, "cat", 0.8, 0.5, 0.9, 80, mask, "cat", 0.8
    )
    rows = [
        LabelRecord(
            compute_image_id(name), name, 32, 24, "labelled", objects=(item,), identity=name
        )
        for name in ("1.png", "2.png")
    ]
    rows.append(LabelRecord(7, "3.png", None, None, "failed", error="empty file", identity="3"))
    (folder / "parts").mkdir(exist_ok=True)
    path = write_part(folder / "parts", rows, "f")
    content = path.read_bytes()
    path.unlink()
    return content


def change_part(random_: random.Random, content: bytes) -> bytes:
    """Change the columns or the footer of a part, or its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if random_.random() < 0.3:
        return change_bytes(random_, content)
    table = pq.read_table(io.BytesIO(content))
    metadata = dict(table.schema.metadata or {})
    if random_.random() < 0.5:
        key = random_.choice(list(metadata))
        stored = json.loads(metadata[key]) if metadata[key][:1] in b"{[" else {}
        metadata[key] = change_json(random_, stored)
        table = table.replace_schema_metadata(metadata)
    else:
        index = random_.randrange(table.num_columns)
        name = table.column_names[index]
        others: list[Any] = [
            [None] * 3, ["x"] * 3, [1.5] * 3, [[1]] * 3, [{"a": 1}] * 3, [b"x"] * 3, [2**62] * 3,
        ]  # fmt: skip
        column = pa.array(random_.choice(others))
        table = random_.choice(
            (
                table.set_column(index, name, column),
                table.remove_column(index),
                table.append_column(name, table[name]),
                table.slice(1),
            )
        )
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def _make_output(folder: Path) -> Any:
    """An output folder of three rows; returns its run.json."""
    (folder / ".lock").touch()
    (folder / "images").mkdir()
    part = _make_part(folder)
    (folder / "parts" / "part-0.parquet").write_bytes(part)
    settings = {
        "sources": [str(folder / "images")],
        "detector": "nano",
        "vocabulary": "auto",
        "model": "nano",
        "labels": "auto",
        "conf": 0.3,
        "max_det": 10,
        "classes": ["cat"],
        "image_root": None,
    }
    return {
        "ovsam": "0.1.0",
        "state": "finished",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:09+00:00",
        "totals": {"images": 3, "labelled": 3, "empty": 0, "failed": 0, "objects": 3},
        "run": {"exit_code": 0, "seconds": 1.0, "reasons": {}},
        "dropped_boxes": {"duplicate": 1},
        "phase_seconds": {"list": 0.1, "load": 2.0},
        "images_per_s": 3.0,
        "fingerprint": "f",
        "depends_on": {"conf": 0.3, "max_det": 10, "detector": "nano", "model": "nano"},
        "model": {"name": "nano"},
        "detector": {"name": "nano", "fingerprint": "x"},
        "vocabulary": {"name": "nano"},
        "engine": "local",
        "working_folder": str(folder),
        "settings": settings,
        "resolved": settings,
        "host": "h",
        "process": 999_999_999,
        "class_names": ["cat"],
        "categories": [{"id": 1, "name": "cat"}],
    }


def _read_output(path: Path) -> None:
    from ovsam_pipeline.commands.report_counts import collect_report, format_report
    from ovsam_pipeline.commands.status import format_status
    from ovsam_pipeline.detectors.stored.boxes_file import build_boxes_detector
    from ovsam_pipeline.export.coco import export_coco
    from ovsam_pipeline.labelling.relabelling import complete_config
    from ovsam_pipeline.monitoring.run_state import read_status
    from ovsam_pipeline.output.earlier_run import complete_retry
    from ovsam_pipeline.output.folder import OutputFolder
    from ovsam_pipeline.settings.label import LabelConfig

    out = path.parent if path.suffix == ".json" else path

    def open_folder() -> None:
        with OutputFolder(out) as folder:
            folder.prepare("f", {"conf": 0.4, "max_det": 3}, "resume")
            folder.read_failed()

    steps: list[Callable[[], object]] = [
        lambda: format_status(read_status(out)),
        lambda: format_report(collect_report(out)),
        lambda: LabelConfig(**complete_retry({"sources": (str(out),), "retry_failed": True})),
        lambda: complete_config(LabelConfig(relabel=str(out))),
        lambda: export_coco(out, out / "annotations.json"),
        lambda: build_boxes_detector(_settings("boxes", out)),
        open_folder,
    ]
    for step in steps:
        try:
            step()
        except OvsamError as error:
            str(error).encode()


def _read_output_of_part(path: Path) -> None:
    _read_output(path.parents[1])


def _make_used_part(folder: Path) -> bytes:
    (folder / "run.json").write_text(json.dumps(_make_output(folder)))
    return (folder / "parts" / "part-0.parquet").read_bytes()


def _make_status(folder: Path) -> Any:
    from ovsam_pipeline.monitoring.report import RunReport, WorkerState
    from ovsam_pipeline.monitoring.run_state import RunState

    run = _make_output(folder)
    (folder / "run.json").write_text(json.dumps(run))
    report = RunReport(10)
    for name in "ab":
        report.workers[name] = WorkerState(name, "labelling", 3, 1.5, {"decode": 1.0})
    return RunState(folder, report=report).to_dict(1.0)


def _make_model(folder: Path) -> bytes:
    import torch

    from ovsam.build import build_model
    from ovsam.config import ClipConfig, ModelConfig, NeckConfig, TextConfig
    from ovsam.weights.checkpoint import save_checkpoint

    torch.set_num_threads(1)
    clip = ClipConfig(
        kind="resnet",
        layers=(1, 1, 1, 1),
        width=8,
        channels=(32, 64, 128, 256),
        image_size=64,
        embed_dim=16,
        text=TextConfig(width=16, heads=2, layers=1),
    )
    config = ModelConfig(
        name="tiny",
        clip=clip,
        neck=NeckConfig(width=16, depth=1, heads=2, window=3, global_blocks=()),
        input_size=64,
        embed_channels=16,
        decoder_heads=2,
        decoder_mlp=32,
        fpn_channels=8,
        roi_size=3,
    )
    save_checkpoint(build_model(config), folder / "good.safetensors", {})
    return (folder / "good.safetensors").read_bytes()


def change_tensors(random_: random.Random, content: bytes) -> bytes:
    """Change the header of a safetensors file by values, or the file by bytes."""
    if random_.random() < 0.3:
        return change_bytes(random_, content)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if random_.random() < 0.7 and "config" in header["__metadata__"]:
        changed = change_values(random_, json.loads(header["__metadata__"]["config"]))
        header["__metadata__"]["config"] = json.dumps(changed)
    elif random_.random() < 0.7 and "ovsam-classes" in header["__metadata__"]:
        changed = change_values(random_, json.loads(header["__metadata__"]["ovsam-classes"]))
        header["__metadata__"]["ovsam-classes"] = json.dumps(changed)
    else:
        header = change_values(random_, header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _read_model(path: Path) -> None:
    from ovsam.load import load_model

    load_model(path)


def _make_vocabulary(folder: Path) -> bytes:
    import torch

    from ovsam.text.class_list import VocabularyClass
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import save_vocabulary

    classes = [VocabularyClass(number, name, ()) for number, name in enumerate(("cat", "dog"), 1)]
    vocabulary = Vocabulary.from_classes(classes, "x").with_own_embeddings(torch.ones(2, 8))
    save_vocabulary(vocabulary, folder / "good.safetensors")
    return (folder / "good.safetensors").read_bytes()


def _read_vocabulary(path: Path) -> None:
    from ovsam.text.vocabulary_files import read_vocabulary

    read_vocabulary(path)


def _make_checkpoint(folder: Path) -> Any:
    import torch
    from torch import nn

    from ovsam.training.loop.run_state import RunState, TrainedParts, write_run_state

    torch.manual_seed(0)
    module = nn.Linear(2, 2)
    parts = TrainedParts({"a": module}, torch.optim.AdamW(module.parameters()))
    state = RunState(step=12, elapsed_s=1.5, sums={"loss": 0.5})
    return json.loads(write_run_state(folder, state, parts, {"x": 1}, 2).read_text())


def _read_checkpoint(path: Path) -> None:
    import torch
    from torch import nn

    from ovsam.training.loop.run_state import TrainedParts, read_run_state

    module = nn.Linear(2, 2)
    parts = TrainedParts({"a": module}, torch.optim.AdamW(module.parameters()))
    read_run_state(path.parent, parts, {"x": 1})


def _read_log(path: Path) -> None:
    from ovsam.training.loop.run_log import RunLog

    log = RunLog(path)
    log.begin(5)
    log.close()


def _make_log(folder: Path) -> str:
    del folder
    return "".join(f"{json.dumps({'step': k, 'loss': 0.5})}\n" for k in range(8))


def _make_table(folder: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    del folder
    picture = _draw_image("PNG")
    rows = [{"image": {"bytes": picture, "path": f"{k}.png"}, "label": k} for k in range(3)]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def change_table(random_: random.Random, content: bytes) -> bytes:
    """Change the types, names and values of a Parquet table, or its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if random_.random() < 0.4:
        return change_bytes(random_, content)
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    stream = io.BytesIO()
    for _ in range(20):
        try:
            column = random_.choice(list(rows[0]))
            value = random_.choice(_ODD_VALUES)
            changed = [
                {**row, column: value if random_.random() < 0.9 else row[column]} for row in rows
            ]
            if random_.random() < 0.5 and isinstance(rows[0].get("image"), dict):
                key = random_.choice(("bytes", "path"))
                changed = [{**row, "image": {**row["image"], key: value}} for row in rows]
            table = pa.Table.from_pylist(changed)
            if random_.random() < 0.2:
                table = table.append_column(column, table[column])
            if random_.random() < 0.2:
                deep = random_.choice(("[" * 5000, json.dumps(value), '{"info": {"features": 3}}'))
                table = table.replace_schema_metadata({"huggingface": deep})
            pq.write_table(table, stream)
            return stream.getvalue()
        except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
            continue
    return content


def _read_image(path: Path) -> None:
    from ovsam.decode import decode_file

    decode_file(path)


def _make_list(folder: Path) -> str:
    _draw_image("PNG", folder)
    return "1.png\n2.png\n# no\n3.png\nhttp://127.0.0.1:9/x.png\nsub/a.png\n"


def _make_tar(folder: Path) -> bytes:
    del folder
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(3):
            picture = _draw_image("PNG")
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))
    return stream.getvalue()


def _image_kind(kind: str) -> Kind:
    return Kind(f"image.{kind.lower()}", lambda _: _draw_image(kind), change_bytes, _read_image)


def _constant(value: Any) -> Callable[[Path], Any]:
    return lambda _: value


_LABEL_YAML = {"conf": 0.4, "max-det": 50, "classes": "cat,dog", "prune": True, "time-limit": "6h"}
_TRAIN_YAML = {
    "vocabulary": "coco",
    "loop": {"steps": 10, "optimiser": {"learning_rate": 0.1}},
    "step": {"images_per_step": 2},
}
KINDS = [
    Kind("run.json", _make_output, change_json, _read_output),
    Kind("parts/part-0.parquet", _make_used_part, change_part, _read_output_of_part),
    Kind("status.json", _make_status, change_json, _read_output),
    Kind("retrying.json", lambda f: (_make_status(f), ["a", "b"])[1], change_json, _read_output),
    Kind("coco.json", _make_truth, change_json, _read_sources),
    Kind("gt.json", _make_truth, change_json, _read_truth_boxes),
    Kind("boxes.json", _make_results, change_json, _read_boxes),
    Kind("data.json", _make_truth, change_json, _read_evaluation),
    Kind("found.json", _make_results, change_json, _read_results),
    Kind("names.json", _constant(["cat", {"name": "dog", "id": 2}]), change_json, _read_classes),
    Kind("names.yaml", _constant({"names": {0: "cat", 1: "dog"}}), change_yaml, _read_classes),
    Kind("names.txt", _make_names, change_text, _read_classes),
    Kind("map.yaml", _constant({"a": "cat", "b": "dog"}), change_yaml, _read_class_map),
    Kind("label.yaml", _constant(_LABEL_YAML), change_yaml, _read_config),
    Kind("train.yaml", _constant(_TRAIN_YAML), change_yaml, _read_training_config),
    Kind("model.safetensors", _make_model, change_tensors, _read_model),
    Kind("vocabulary.safetensors", _make_vocabulary, change_tensors, _read_vocabulary),
    Kind("checkpoint-00000012.json", _make_checkpoint, change_json, _read_checkpoint),
    Kind("log.jsonl", _make_log, change_text, _read_log),
    Kind("table.parquet", _make_table, change_table, _read_sources),
    Kind("boxes.parquet", _make_part, change_part, _read_boxes),
    Kind("list.txt", _make_list, change_text, _read_sources),
    Kind("shard.tar", _make_tar, change_bytes, _read_sources),
    *map(_image_kind, ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")),
]


# --- running ------------------------------------------------------------------------------------


def run_kind(kind: Kind, seed: int, count: int, pipe: Connection) -> None:
    """Read `count` changed files of a kind; send what each led to."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _raise_hang)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OVSAM_CACHE"] = str(Path(folder, "cache"))
        random_ = random.Random(f"{kind.name} {seed}")
        place = Path(folder, "in")
        place.mkdir()
        good = kind.make(place)
        path = place / kind.name
        # The good file is read before, so that imports count for no input, and because a reader
        # that refuses everything would find nothing.
        path.write_bytes(_to_bytes(good))
        kind.read(path)
        for number in range(count):
            content = kind.change(random_, good)
            path.write_bytes(content)
            pipe.send(("reading", number, content))
            start_s = time.monotonic()
            signal.alarm(HANG_S)
            outcome = _read(kind, path)
            signal.alarm(0)
            pipe.send(("read", outcome, time.monotonic() - start_s))
    pipe.send(("done", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, None))


def _to_bytes(good: Any) -> bytes:
    if isinstance(good, bytes):
        return good
    return good.encode() if isinstance(good, str) else json.dumps(good).encode()


def _read(kind: Kind, path: Path) -> str:
    """Return "" for a file that was read or refused by a sentence, else what went wrong."""
    try:
        try:
            kind.read(path)
        except OvsamError as error:
            str(error).encode()  # may go into a row or a log
    except Hang:
        return "hang"
    except Exception as error:  # noqa: BLE001 - it is what is counted
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "/ovsam" in f.filename and "-packages" not in f.filename]
        frame = (own or frames)[-1]
        where = f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}"
        return f"{type(error).__name__} at {where}: {str(error)[:100]}"
    return ""


def _raise_hang(number: int, frame: object) -> None:  # noqa: ARG001 - signal's signature
    raise Hang


def watch_kind(kind: Kind, seed: int, count: int, keep: Path | None) -> dict[str, Any]:
    """Run a kind in a process of its own; return its counts."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=run_kind, args=(kind, seed, count, theirs)
    )
    process.start()
    theirs.close()
    found: Counter[str] = Counter()
    inputs, slowest_s, memory_mb, content = 0, 0.0, 0, b""
    while True:
        try:
            if not ours.poll(HANG_S * 6):  # a hang that no signal ends: in a library
                found["crash: no answer"] += 1
                process.kill()
                break
            word, first, second = ours.recv()
        except EOFError:
            found[f"crash: the process ended after input {inputs}"] += 1
            break
        if word == "done":
            memory_mb = first
            break
        if word == "reading":
            inputs, content = inputs + 1, second
            continue
        slowest_s = max(slowest_s, second)
        if first:
            if keep is not None and not found[first]:
                (keep / f"{len(list(keep.iterdir())):03d}-{Path(kind.name).name}").write_bytes(
                    content
                )
            found[first] += 1
    process.join()
    return {
        "kind": kind.name,
        "inputs": inputs,
        "found": dict(found),
        "slowest_s": round(slowest_s, 2),
        "peak_memory_mb": memory_mb,
    }


def run_all(inputs: int, seed: int, names: list[str], keep: Path | None = None) -> dict[str, Any]:
    """Run all kinds, an equal share each; return counts by kind and in all."""
    # Once for all kinds: processes that are forked have it then.
    import ovsam_pipeline.evaluation.run
    import ovsam_pipeline.labelling.relabelling  # noqa: F401

    kinds = [kind for kind in KINDS if not names or kind.name in names]
    share = -(-inputs // len(kinds))
    rows = [watch_kind(kind, seed, share, keep) for kind in kinds]
    found = Counter[str]()
    for row in rows:
        found.update(row["found"])
    crashes = sum(count for what, count in found.items() if what.startswith("crash"))
    hangs = found["hang"]
    return {
        "seed": seed,
        "inputs": sum(row["inputs"] for row in rows),
        "tracebacks": found.total() - crashes - hangs,
        "crashes": crashes,
        "hangs": hangs,
        "slowest_s": max(row["slowest_s"] for row in rows),
        "peak_memory_mb": max(row["peak_memory_mb"] for row in rows),
        "kinds": rows,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", default=[], help="some of the kinds alone")
    parser.add_argument("--keep", type=Path, help="folder for the first input of each finding")
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    counts = run_all(options.inputs, options.seed, options.kind, options.keep)
    print(json.dumps(counts, indent=1, ensure_ascii=False))
    sys.exit(int(bool(counts["tracebacks"] or counts["crashes"] or counts["hangs"])))


if __name__ == "__main__":
    main()

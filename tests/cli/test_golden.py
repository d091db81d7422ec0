"""What people can see of ovsam today, kept in `golden/`: a refactoring must leave it as it is.

The tests use public commands and the documented output folder only, so files may move. A wanted
change is recorded with `OVSAM_RECORD_GOLDEN=1 pytest -n 0 tests/cli/test_golden.py`: it rewrites
the files and fails, so that it cannot be left on. Read `git diff tests/cli/golden` afterwards.

Another CPU rounds otherwise. `compare_rows` says what it allows.
"""

import base64
import contextlib
import copy
import difflib
import fcntl
import gzip
import io
import itertools
import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from PIL import Image
from pycocotools import mask as coco_masks

import ovsam_pipeline
from ovsam_pipeline import cli
from ovsam_pipeline.commands.contents import app

ROOT = Path(__file__).parents[2]
SCENES = ROOT / "examples" / "scenes"
TRUTH = SCENES / "annotations.json"
GOLDEN = Path(__file__).parent / "golden"
IS_RECORDING = os.environ.get("OVSAM_RECORD_GOLDEN") == "1"

ALL_SCENES = sorted(path.name for path in SCENES.glob("scene_*"))
# JPEG and PNG, and the EXIF-rotated scene 3. The slow test takes all 24.
FEW_SCENES = [*ALL_SCENES[:7], ALL_SCENES[13]]
# What rounding may change: box corners in pixels, numbers from 0 to 1, the overlap of two masks,
# areas as a fraction, and metrics. Measured with ATEN_CPU_CAPABILITY=default: 0.0001 px, 0.000005.
PIXELS, SCORE, MASK_IOU, AREA, METRIC = 1.0, 0.01, 0.97, 0.03, 0.01
HASH_BITS, HASH_LEVELS = 4, 3
# Closer than this to another label or to --conf 0.25, rounding may decide.
TIE, CONF, BORDERLINE_SHARE = 0.02, 0.25, 0.02
BOX_FIELDS = ("bbox", "detector_box_xyxy", "detector_point_xy")
# Two labels of a tie take these with them.
LABEL_FIELDS = {
    *("category", "category_id", "score", "margin"),
    *("model_category", "model_score", "detector_margin"),
    *("head_score", "clip_score", "risk", "reason"),
}

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# --- running a command --------------------------------------------------------------------------


def run_ovsam(*arguments: object) -> SimpleNamespace:
    """Run the command line in this process, as a user of a 100-column terminal without colours."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root_handlers = logging.getLogger().handlers
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["ovsam", *map(str, arguments)]))
        # `python -m pytest` would make click say "python -m pytest.ovsam" in its usage lines.
        main = sys.modules["__main__"]
        stack.enter_context(mock.patch.object(main, "__package__", None, create=True))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stopped = stack.enter_context(pytest.raises(SystemExit))
        try:
            cli.main()
        finally:
            logging.getLogger().handlers = root_handlers
            for number, handler in handlers.items():
                signal.signal(number, handler)
    code = stopped.value.code or 0
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module", autouse=True)
def plain_environment(tmp_path_factory):
    """No settings and no weights of the person who runs the tests."""
    # Shared with the other tests that label: the class names are embedded once.
    cache = tmp_path_factory.getbasetemp() / "cache"
    own = ("OVSAM_", "RAY_ADDRESS", "DETECTRON2_DATASETS", "FORCE_COLOR", "RANK", "WORLD_SIZE")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(own)}
    kept |= {name: str(cache) for name in ("OVSAM_CACHE", "TORCH_HOME", "FVCORE_CACHE")}
    kept |= {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield


def check(name: str, found: str | bytes, differences: list[str]) -> None:
    """Fail where something differs; when recording, write the file and fail in any case."""
    if IS_RECORDING:
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_bytes(found.encode() if isinstance(found, str) else found)
        pytest.fail(f"recorded golden/{name}; unset OVSAM_RECORD_GOLDEN and read the diff")
    shown = "\n  ".join(differences[:30])
    assert not differences, f"{len(differences)} differences from golden/{name}:\n  {shown}"


def read_golden(name: str) -> bytes:
    """The recorded file; b"" where the first one is being recorded."""
    path = GOLDEN / name
    return b"" if IS_RECORDING and not path.exists() else path.read_bytes()


# --- help ---------------------------------------------------------------------------------------


def test_help_of_every_command():
    helps = {}
    for words in list_commands(typer.main.get_command(app)):
        found = run_ovsam(*words, "--help")
        assert (found.code, found.err) == (0, "")
        helps[" ".join(("ovsam", *words))] = found.out.rstrip() + "\n"
    recorded, _ = split_help(read_golden("help.txt").decode())
    differences = explain_typer(compare_helps(recorded, helps))
    text = f"typer {metadata.version('typer')}\n" + "".join(
        f"\n{_TITLE}{name}\n{helps[name]}" for name in helps
    )
    check("help.txt", text, differences)


_TITLE = "##### "


def list_commands(command: object, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The app and every command below it, in the order of its help."""
    below = getattr(command, "commands", {})
    return [words, *(w for name in below for w in list_commands(below[name], (*words, name)))]


def split_help(text: str) -> tuple[dict[str, str], str]:
    """Help by command, and the version of typer that laid it out."""
    version, *parts = text.split(f"\n{_TITLE}")
    return dict(part.split("\n", 1) for part in parts), version.removeprefix("typer ").strip()


def explain_typer(differences: list[str]) -> list[str]:
    """typer words the help and usage errors: another version may be the only difference."""
    here, (_, version) = metadata.version("typer"), split_help(read_golden("help.txt").decode())
    is_other = bool(differences) and version != here
    return [f"recorded with typer {version}, here is {here}"] * is_other + differences


def compare_helps(recorded: dict[str, str], found: dict[str, str]) -> list[str]:
    differences = []
    for name in {**recorded, **found}:
        before, after = (texts.get(name, "").splitlines() for texts in (recorded, found))
        lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        differences += [f"{name}: {line}" for line in lines if not line.startswith("@@")]
    return differences


# --- rows ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory, plain_environment):
    """Rows of three commands on a few scenes; all scenes when recording."""
    names = ALL_SCENES if IS_RECORDING else FEW_SCENES
    return make_rows(tmp_path_factory.mktemp("rows"), names)


def make_rows(folder: Path, names: list[str]) -> dict[str, list[dict]]:
    """Label, relabel and detect as a user would; the folder of each command gives its rows."""
    images = folder / "images"
    images.mkdir()
    for name in names:
        shutil.copy2(SCENES / name, images)
    labels, relabelled, boxes = (folder / name for name in ("label", "relabel", "detect"))
    words = "apple,cat,cow,dog,house,mouse,mushroom,rabbit,tiger,turkey"
    commands = {
        labels: ("label", images, "--model", "nano"),
        relabelled: ("label", "--relabel", labels, "--vocabulary", words, "--model", "nano"),
        boxes: ("detect", images, "--model", "nano"),
    }
    for output, command in commands.items():
        found = run_ovsam(*command, "-o", output, "--device", "cpu", "--quiet")
        assert (found.code, found.err) == (0, "")
    return {output.name: read_rows(output) for output in commands}


def read_rows(output: Path) -> list[dict]:
    """Rows by file name, from the documented Parquet files."""
    found = pq.read_table(output / "parts").to_pylist()
    return sorted(found, key=lambda row: row["file_name"])


def read_golden_rows() -> dict[str, list[dict]]:
    return json.loads(gzip.decompress(read_golden("rows.json.gz") or gzip.compress(b"{}")))


def compare_all_rows(found: dict[str, list[dict]], names: list[str]) -> list[str]:
    golden = read_golden_rows()
    differences = []
    for command, came in found.items():
        recorded = [row for row in golden.get(command, []) if row["file_name"] in names]
        differences += [f"{command} {text}" for text in compare_rows(recorded, came)]
    return differences


def test_rows_of_label_relabel_and_detect(rows):
    # Six digits are far finer than the tolerances; without a time, the bytes are repeatable.
    text = json.dumps(round_floats(rows), separators=(",", ":"))
    content = gzip.compress(text.encode(), 9, mtime=0)
    check("rows.json.gz", content, compare_all_rows(rows, FEW_SCENES))


@pytest.mark.slow
def test_rows_of_all_scenes(tmp_path):
    assert not compare_all_rows(make_rows(tmp_path, ALL_SCENES), ALL_SCENES)


def round_floats(value):
    if isinstance(value, dict):
        return {key: round_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_floats(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def compare_rows(recorded: list[dict], found: list[dict]) -> list[str]:
    """Say how rows differ beyond what another CPU's rounding explains; [] where they do not.

    Exact: which rows there are, their status and all other fields, the fields and the order of
    objects, categories and other words. Box corners may move by PIXELS, scores by SCORE, areas by
    the fraction AREA; masks must overlap by an IoU of MASK_IOU.

    Rounding may decide two things: the label of an object whose two best labels are closer than
    TIE, and whether a box is there whose score is within SCORE of --conf. Such objects may differ
    when there are at most BORDERLINE_SHARE of all (rounded up). Any other object must be the same.
    """
    wanted, came = ({row["file_name"]: row for row in rows} for rows in (recorded, found))
    differences = [f"{name}: the row is missing" for name in wanted if name not in came]
    differences += [f"{name}: the row is new" for name in came if name not in wanted]
    if len(came) < len(found):
        differences.append("an image has two rows")
    borderline: list[str] = []
    for name in [name for name in wanted if name in came]:
        before, after = dict(wanted[name]), dict(came[name])
        objects = before.pop("objects"), after.pop("objects")
        hashes = before.pop("phash", None), after.pop("phash", None)
        if count_bits_apart(*hashes) > HASH_BITS:
            differences.append(f"{name}: phash {hashes[0]} -> {hashes[1]}")
        details = before.pop("phash_detail", ""), after.pop("phash_detail", "")
        if measure_change(*details) > HASH_LEVELS:
            differences.append(f"{name}: phash_detail {details[0]} -> {details[1]}")
        keys = [key for key in {**before, **after} if before.get(key, "-") != after.get(key, "-")]
        differences += [f"{name}: {key} {before.get(key)} -> {after.get(key)}" for key in keys]
        sure, unsure = compare_objects(*objects)
        differences += [f"{name}: {text}" for text in sure]
        borderline += [f"{name}: {text} (borderline)" for text in unsure]
    num_objects = sum(len(row["objects"]) for row in recorded)
    if len(borderline) > math.ceil(BORDERLINE_SHARE * num_objects):
        differences += borderline
    return differences


def count_bits_apart(before: int | None, after: int | None) -> int:
    """In how many bits two hashes differ; 64 where only one is there."""
    if before is None or after is None:
        return 0 if before == after else 64
    return ((before ^ after) & (1 << 64) - 1).bit_count()


def measure_change(before: str, after: str) -> int:
    """By how much any frequency of a hash changed; 255 where they are not the same ones."""
    first, second = (np.frombuffer(base64.b64decode(text), np.int8) for text in (before, after))
    if len(first) != len(second):
        return 255
    return int(np.abs(first.astype(int) - second).max())


def compare_objects(recorded: list[dict], found: list[dict]) -> tuple[list[str], list[str]]:
    """Differences that rounding does not explain, and borderline ones."""
    sure: list[str] = []
    unsure: list[str] = []
    left = dict(enumerate(found))
    places = []
    for item in recorded:
        place = min(left, key=lambda index: measure_shift(item, left[index]), default=None)
        shift = math.inf if place is None else measure_shift(item, left[place])
        if shift > PIXELS:
            text = f"{describe(item)} is missing, the nearest box is {shift:.1f} pixels off"
            (unsure if is_near_conf(item) else sure).append(text)
            continue
        fields = list_changed_fields(item, left[place])
        is_tie = LABEL_FIELDS.issuperset(fields) and item.get("margin", 1) < TIE
        if fields:
            changes = [f"{key} {item.get(key)} -> {left[place].get(key)}"[:150] for key in fields]
            (unsure if is_tie else sure).append(f"{describe(item)}: {', '.join(changes)}")
        places.append((place, item["detector_score"]))
        del left[place]
    for item in left.values():
        (unsure if is_near_conf(item) else sure).append(f"{describe(item)} is new")
    steps = itertools.pairwise(places)
    if any(a > b and abs(x - y) > SCORE for (a, x), (b, y) in steps):
        sure.append("the objects stand in another order")
    return sure, unsure


def measure_shift(before: dict, after: dict) -> float:
    """The furthest that a side of the box moved, in pixels."""
    return float(np.abs(to_corners(before["bbox"]) - to_corners(after["bbox"])).max())


def to_corners(bbox: list[float]) -> np.ndarray:
    left, top, width, height = bbox
    return np.array([left, top, left + width, top + height])


def is_near_conf(item: dict) -> bool:
    return item["detector_score"] < CONF + SCORE


def describe(item: dict) -> str:
    sides = ", ".join(f"{side:.0f}" for side in item["bbox"])
    return f"{item.get('category', 'box')} at [{sides}]"


def list_changed_fields(before: dict, after: dict) -> list[str]:
    """Fields that one object lacks, or whose values are further apart than rounding brings them."""
    keys = {**before, **after}
    return [key for key in keys if not is_same(key, before.get(key, "-"), after.get(key, "-"))]


def is_same(key: str, before: object, after: object) -> bool:
    if type(before) is not type(after) or before is None or before == after:
        return before == after
    if key == "bbox":
        return True  # `measure_shift` has looked at it
    if key in BOX_FIELDS:
        gaps = [abs(a - b) for a, b in zip(before, after, strict=True)]
        return max(gaps) <= PIXELS
    if key == "segmentation":
        if before["size"] != after["size"] or before.keys() != after.keys():
            return False
        return coco_masks.iou([before], [after], [0])[0, 0] >= MASK_IOU
    if key == "area":
        return abs(before - after) <= AREA * before
    return isinstance(before, float) and abs(before - after) <= SCORE


# --- the comparison itself ----------------------------------------------------------------------


@pytest.fixture
def two_rows():
    """Recorded rows of `ovsam label`, twice: as they are, and to be damaged."""
    recorded = read_golden_rows()["label"]
    return recorded, copy.deepcopy(recorded)


def change_label(rows):
    rows[1]["objects"][2] |= {"category": "cat", "category_id": 7}


def shift_box(rows):
    rows[1]["objects"][0]["bbox"][0] += 3


def shift_prompt(rows):
    rows[1]["objects"][0]["detector_box_xyxy"][3] -= 2


def change_score(rows):
    rows[1]["objects"][0]["score"] += 0.05


def shift_mask(rows):
    segmentation = rows[1]["objects"][0]["segmentation"]
    moved = np.roll(coco_masks.decode(segmentation), 4, axis=1)
    segmentation["counts"] = coco_masks.encode(np.asfortranarray(moved))["counts"].decode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_label, "scene_0001.jpg: sunglasses at .*category sunglasses -> cat"),
        (shift_box, "is missing, the nearest box is 3.0 pixels off"),
        (shift_prompt, "detector_box_xyxy"),
        (change_score, "score 0.2"),
        (shift_mask, "segmentation"),
        (lambda rows: rows.pop(3), "scene_0003.jpg: the row is missing"),
        (lambda rows: rows.append({**rows[3], "file_name": "x.jpg"}), "x.jpg: the row is new"),
        (lambda rows: rows.append(rows[3]), "an image has two rows"),
        (lambda rows: rows[3].update(status="failed"), "status labelled -> failed"),
        (lambda rows: rows[3].update(phash=~rows[3]["phash"]), "scene_0003.jpg: phash"),
        (lambda rows: rows[3].pop("phash"), "scene_0003.jpg: phash"),
        (lambda rows: rows[3].update(phash_detail="f" * 88), "scene_0003.jpg: phash_detail"),
        (lambda rows: rows[3].pop("error"), "scene_0003.jpg: error None -> None"),
        (lambda rows: rows[3]["objects"].pop(0), "mushroom at .* is missing"),
        (lambda rows: rows[3]["objects"].append(rows[0]["objects"][0]), "cow at .* is new"),
        (lambda rows: rows[3]["objects"].reverse(), "another order"),
        (lambda rows: rows[3]["objects"][0].pop("prompt_id"), "prompt_id None -> None"),
        (lambda rows: rows[3]["objects"][0].update(area=9000), "area 9452 -> 9000"),
    ],
)
def test_comparison_of_rows_sees_damage(two_rows, damage, message):
    recorded, damaged = two_rows
    assert compare_rows(recorded, damaged) == []
    damage(damaged)
    assert re.search(message, "\n".join(compare_rows(recorded, damaged)))


def test_comparison_of_rows_allows_rounding(two_rows):
    recorded, rounded = two_rows
    for item in [item for row in rounded for item in row["objects"]]:
        item["bbox"] = [side + 0.4 for side in item["bbox"]]
        item["score"] += 0.004
        item["area"] += 5
    assert compare_rows(recorded, rounded) == []


def test_comparison_of_rows_allows_a_few_borderline_objects(two_rows):
    recorded, found = two_rows
    allowed = math.ceil(BORDERLINE_SHARE * sum(len(row["objects"]) for row in recorded))
    for index in range(allowed + 1):
        assert compare_rows(recorded, found) == []
        recorded[index]["objects"][0]["margin"] = TIE / 2
        found[index]["objects"][0] |= {"category": "x", "category_id": 0, "margin": TIE / 4}
    assert len(compare_rows(recorded, found)) == allowed + 1
    recorded = copy.deepcopy(found)
    recorded[0]["objects"][-1]["detector_score"] = CONF + SCORE / 2
    found[0]["objects"].pop()
    assert compare_rows(recorded, found) == []


# --- metrics ------------------------------------------------------------------------------------

# Of these the keys are kept and not the values.
VOLATILE = ("ovsam", "finished", "seconds.")


def test_metrics_of_eval(tmp_path):
    limits = ("--limit", len(FEW_SCENES), "--no-plots", "--worst", "0")
    options = ("--model", "nano", "--device", "cpu", "--quiet", *limits)
    found = run_ovsam("eval", "--dataset", TRUTH, "-o", tmp_path / "scores", *options)
    assert (found.code, found.err) == (0, "")
    check_metrics("metrics_of_eval.json", tmp_path, METRIC)


def test_average_precision_of_the_recorded_rows(tmp_path):
    """No network runs here, so the numbers are those of the evaluation alone, and exact."""
    truth = json.loads(TRUTH.read_text())
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    results = [
        {"image_id": ids[row["file_name"]], **{key: item[key] for key in keys}}
        for keys in [("category_id", "bbox", "segmentation", "score")]
        for row in read_golden_rows()["label"]
        for item in row["objects"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    ovsam_pipeline.evaluate(
        str(TRUTH),
        predictions=str(tmp_path / "results.json"),
        output=str(tmp_path / "scores"),
        plots=False,
        worst=0,
    )
    check_metrics("metrics_of_rows.json", tmp_path, 1e-6)


def check_metrics(name: str, folder: Path, tolerance: float) -> None:
    text = (folder / "scores" / "metrics.json").read_text()
    text = text.replace(str(folder), "<tmp>").replace(str(ROOT), "<repo>")
    found = {
        key: None if key.startswith(VOLATILE) else value
        for key, value in flatten(json.loads(text)).items()
    }
    recorded = json.loads(read_golden(name) or b"{}")
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    check(name, text, compare_metrics(recorded, found, tolerance))


def flatten(value: object, name: str = "") -> dict[str, object]:
    """Leaves of nested mappings and lists by their path; an empty one is a leaf."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [flatten(item, f"{name}.{key}" if name else str(key)) for key, item in items]
        return {key: leaf for part in parts for key, leaf in part.items()}
    return {name: value}


def compare_metrics(recorded: dict, found: dict, tolerance: float) -> list[str]:
    """Say which leaves are missing, new or other; fractions may differ by `tolerance`."""
    differences = []
    for key in {**recorded, **found}:
        before, after = recorded.get(key, "-"), found.get(key, "-")
        if isinstance(before, float) and isinstance(after, float):
            is_equal = abs(before - after) <= tolerance
        else:
            is_equal = type(before) is type(after) and before == after
        if not is_equal:
            differences.append(f"{key}: {before} -> {after}")
    return differences


def test_comparison_of_metrics_sees_damage():
    recorded = {"a.iou": 0.8, "a.count": 3, "name": "x"}
    assert compare_metrics(recorded, {**recorded, "a.iou": 0.805}, METRIC) == []
    assert len(compare_metrics(recorded, {**recorded, "a.iou": 0.82}, METRIC)) == 1
    assert len(compare_metrics(recorded, {**recorded, "a.count": 4}, METRIC)) == 1
    assert len(compare_metrics(recorded, {"b.iou": 0.8, "name": "y"}, METRIC)) == 4


# --- error sentences ----------------------------------------------------------------------------


def test_error_sentences(tmp_path, monkeypatch):
    """`errors.yaml` has the commands too: to add a case, write its `run` line and record."""
    monkeypatch.chdir(tmp_path)
    cases = yaml.safe_load((GOLDEN / "errors.yaml").read_text(encoding="utf-8"))
    assert len(cases) >= 30
    found, differences = [], []
    with write_inputs():
        for case in cases:
            case_found = {"run": case["run"], **run_case(case["run"], tmp_path)}
            found.append(case_found)
            if case_found != case:
                differences.append(f"{case} -> {case_found['exit']} {case_found['says']}")
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000)
    text = text.replace("\n- run", "\n\n- run")
    check("errors.yaml", text, explain_typer(differences))


def run_case(line: str, folder: Path) -> dict:
    """Exit code and sentences: what stderr has, and why images failed."""
    found = run_ovsam(*shlex.split(line.replace("<repo>", str(ROOT))))
    lines = [*found.err.splitlines(), *(x for x in found.out.splitlines() if " failed: " in x)]
    names = {str(folder): "<tmp>", str(ROOT): "<repo>"}
    for name, placeholder in names.items():
        lines = [text.replace(name, placeholder) for text in lines]
    return {"exit": found.code, "says": [text.rstrip() for text in lines if text.strip()]}


@contextlib.contextmanager
def write_inputs():
    """Fill the current folder with what `errors.yaml` names; `locked` is held by another run."""
    for name in ("images", "broken", "empty", "foreign", "locked"):
        Path(name).mkdir()
    pixels = np.full((48, 64, 3), 200, np.uint8)
    Image.fromarray(pixels).save("images/one.png")
    truth = {
        "images": [{"id": 1, "file_name": "one.png", "width": 64, "height": 48}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    texts = {
        "broken/two.jpg": "no picture",
        "foreign/annotations.json": "{}",
        "malformed.yaml": "conf: [0.4\nmax-det: 3\n",
        "unknown.yaml": "max-dett: 3\n",
        "twice.yaml": "conf: 0.3\nconf: 0.4\n",
        "kind.yaml": "conf: many\n",
        "list.yaml": "- conf\n",
        "malformed.json": '{"images": [',
        "list.json": "[]",
        "truth.json": json.dumps(truth),
        "no_truth.json": json.dumps({key: truth[key] for key in ("images", "categories")}),
        "twins.json": json.dumps({**truth, "images": 2 * truth["images"]}),
    }
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    with Path("locked/.lock").open("w", encoding="utf-8") as lock:
        lock.write("process 1 on another machine")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

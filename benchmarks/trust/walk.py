"""The walk of docs/trust.md, command by command, with a person who knows the truth.

    npm pack @iconify-json/twemoji && tar xf iconify-json-twemoji-*.tgz && mv package twemoji
    python benchmarks/trust/walk.py --style twemoji --data DATA [--scenes 200] [--seed 1]

Draws scenes in a style that nano never saw, with 40 of its classes, and five examples of each from
other scenes; labels them, checks 200 objects, certifies, exports to YOLO and Label Studio. Prints
every command, what it printed, and what the truth says of the labels.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from scene_labels import judge

from ovsam.training.scenes.files import write_scene_files
from ovsam.training.scenes.iconify import load_iconify_sprites
from ovsam.training.scenes.sprites import SpriteAtlas, read_nano_classes
from ovsam_pipeline.commands.scenes import plan_files
from ovsam_pipeline.export.review_tasks import make_key

CLASSES, EXAMPLES, CHECKS, TARGET = 40, 5, 200, 0.9
_PICTURE_SIDE = 640
_MANY = 160  # scenes that examples are taken from


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--style", type=Path, required=True, help="unpacked @iconify-json package")
    parser.add_argument("--data", type=Path, required=True, help="new folder to work in")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.data.mkdir(parents=True)
    truth = draw(options.data, options.style.resolve(), options.scenes, options.seed)

    def run(line: str) -> str:
        print(f"$ ovsam {line}", flush=True)
        command = [sys.executable, "-m", "ovsam", *shlex.split(line)]
        done = subprocess.run(
            command, cwd=options.data, stdout=subprocess.PIPE, text=True, check=False
        )
        print(f"{done.stdout.rstrip()}\n[exit code {done.returncode}]\n", flush=True)
        return done.stdout

    run("label pictures/ -o labels --model nano --vocabulary examples:refs/refs.json")
    run("report labels")
    found = judge(options.data / "labels", truth)
    print(f"truth: {dict(Counter(found.kinds.tolist()))}, {found.num_true} true objects\n")
    run(f"review labels --sample {CHECKS} --export csv --to check")
    answer(options.data / "check" / "answers.csv", options.data / "labels", truth)
    run("review labels --import check --by person")
    run("review labels")
    run(f"review labels --certify {TARGET}")
    run("review labels --calibrate")
    certified = json.loads((options.data / "labels" / "run.json").read_text())["certified"]
    threshold = certified["threshold"]
    accepted = found.column("risk").astype(float) <= threshold
    print(
        f"truth: {accepted.sum()} of {len(accepted)} objects have a risk of at most "
        f"{threshold}, and {1 - found.is_error[accepted].mean():.3f} of them are right\n"
    )
    run(
        f"export labels --format yolo --max-risk {threshold} --split .8/.1/.1 --check "
        "--to sure_yolo"
    )
    run("export labels --format label-studio --to all_label_studio")
    run("review labels --queue 50")
    run("examples labels --from-reviewed -o refs2.json")


def draw(data: Path, style: Path, scenes: int, seed: int) -> Path:
    """Draw pictures and references; return the file of the pictures' truth, which no run reads."""
    classes = read_nano_classes()
    sprites = load_iconify_sprites(style, classes)
    drawn = [index for index, found in enumerate(sprites) if found]
    chosen = sorted(np.random.default_rng([17, seed]).permutation(drawn)[:CLASSES].tolist())
    atlas = SpriteAtlas(
        tuple(classes[index] for index in chosen), tuple(sprites[index] for index in chosen)
    )
    pictures = write_scene_files(
        data / "pictures", atlas, plan_files(scenes, _PICTURE_SIDE), 1000 + seed
    )
    truth = pictures.rename(data / "truth.json")
    file = write_scene_files(data / "refs", atlas, plan_files(_MANY, _PICTURE_SIDE), 2000 + seed)
    references = json.loads(file.read_text())
    count: Counter[int] = Counter()
    kept = []
    for item in references["annotations"]:
        count[item["category_id"]] += 1
        if count[item["category_id"]] <= EXAMPLES:
            kept.append(item)
    used = {item["image_id"] for item in kept}
    references["annotations"] = kept
    references["categories"] = [one for one in references["categories"] if count[one["id"]]]
    references["images"] = [image for image in references["images"] if image["id"] in used]
    (data / "refs" / "refs.json").write_text(json.dumps(references))
    return truth


def answer(sheet: Path, output: Path, truth: Path) -> None:
    """Fill in the sheet as somebody would who sees each object: y, n, or the true name."""
    found = judge(output, truth)
    content = json.loads(truth.read_text())
    names = {item["id"]: item["name"] for item in content["categories"]}
    true_names = {item["id"]: names[item["category_id"]] for item in content["annotations"]}
    said: dict[tuple[str, str], tuple[str, str]] = {}
    for item, kind, number in zip(found.objects, found.kinds, found.truth, strict=True):
        words = {"right": ("y", ""), "name": ("", true_names.get(int(number), ""))}
        key = make_key(item["file_name"], item["segmentation"])
        said[(item["file_name"], key)] = words.get(str(kind), ("n", ""))
    with sheet.open(newline="", encoding="utf-8-sig") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        place = (line["file_name"], line["key"].removeprefix("key "))
        line["answer"], line["true_name"] = said[place]
    with sheet.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()

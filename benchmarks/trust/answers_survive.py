"""1,000 answers through 20 runs, killed ones among them, and a relabelling: byte for byte.

    python benchmarks/trust/answers_survive.py [--images 500] [--seeds 1 2 3]

The real command with fake networks (tests/doubles/fake_labeller.py): two objects an image, one
answer each: accepted, renamed, rejected, redrawn. Then 20 runs in an order drawn by the seed: with
nothing to do, with images touched and added, --on-existing overwrite, --prune, --retry-failed, and
the same killed by SIGKILL at some moment; after every third the same answers are imported again.
Then --relabel. Prints a line a seed; exits 1 where a byte of reviews.jsonl changed, or where an
answer is not in annotations.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "doubles"))

from fake_labeller import write_images  # noqa: E402

from ovsam.masks import decode_mask, encode_mask  # noqa: E402
from ovsam_pipeline.output.folder import iterate_rows  # noqa: E402
from ovsam_pipeline.output.reviews import REVIEWS_FILE, Answer, append_answers  # noqa: E402

_RUNS = 20
_KINDS = (
    (), ("--on-existing", "overwrite"), ("--prune",), ("--retry-failed",), ("--preview", "3"),
    ("--part-images", "50", "--on-existing", "overwrite"),
)  # fmt: skip


def main() -> None:
    """Print what is left after all runs of each seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    failed = False
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="answers-") as folder:
            found = measure(Path(folder), options.images, seed)
        sys.stdout.write(f"{json.dumps(found)}\n")
        failed |= not (found["byte_for_byte"] and found["relabel_byte_for_byte"])
        failed |= found["lost_in_export"] > 0
    sys.exit(failed)


def measure(folder: Path, num_images: int, seed: int) -> dict[str, Any]:
    """Label, answer, run 20 times, relabel; return what became of the answers."""
    draw = random.Random(seed)
    photos, output = folder / "photos", folder / "labels"
    names = write_images(photos, num_images)
    run(photos, "-o", output)
    answers = make_answers(output)
    append_answers(output, answers)
    content = (output / REVIEWS_FILE).read_bytes()
    same, killed, lost = 0, 0, 0
    for number in range(_RUNS):
        for name in draw.sample(names, 20):
            os.utime(photos / name, (number, number))
        is_killed = draw.random() < 0.4
        flags = draw.choice(_KINDS)
        run(photos, "-o", output, *flags, kill_s=draw.uniform(0.5, 4) if is_killed else None)
        killed += is_killed
        if number % 3 == 2:
            append_answers(output, answers)
        same += (output / REVIEWS_FILE).read_bytes() == content
    run(photos, "-o", output)
    lost = count_lost(output, answers)
    new = folder / "renamed"
    run("--relabel", output, "-o", new)
    return {
        "seed": seed,
        "answers": len(answers),
        "runs": _RUNS,
        "killed": killed,
        "runs_byte_for_byte": same,
        "byte_for_byte": same == _RUNS,
        "relabel_byte_for_byte": (new / REVIEWS_FILE).read_bytes() == content,
        "lost_in_export": lost + count_lost(new, answers),
    }


def make_answers(output: Path) -> list[Answer]:
    """Return an answer on each object: four kinds in turn."""
    answers = []
    for row in iterate_rows(output):
        for item in row["objects"]:
            mask, name, kind = item["segmentation"], item["category"], len(answers) % 4
            given = (mask, name) if kind == 0 else (mask, "unicorn") if kind == 1 else (None, None)
            if kind == 3:
                given = (_shrink(mask), name)
            shown = {"category": name, "score": item["score"]}
            common = {"by": "ann", "at": "2026-01-01T00:00:00+00:00", "shown": shown}
            answers.append(Answer(row["file_name"], given[1], given[0], mask, **common))
    return answers


def count_lost(output: Path, answers: list[Answer]) -> int:
    """Return how many answers are not in annotations.json as they were given."""
    found = json.loads((output / "annotations.json").read_text())
    names = {item["id"]: item["name"] for item in found["categories"]}
    files = {item["id"]: item["file_name"] for item in found["images"]}
    there = {
        (files[item["image_id"]], item["segmentation"]["counts"]): names[item["category_id"]]
        for item in found["annotations"]
    }
    lost = 0
    for answer in answers:
        mask = answer.segmentation or answer.reviewed
        lost += (
            mask is not None and there.get((answer.file_name, mask["counts"])) != answer.category
        )
    return lost


def run(*arguments: object, kill_s: float | None = None) -> None:
    """Run the command, or kill it after some seconds."""
    program = [sys.executable, str(ROOT / "tests" / "doubles" / "fake_labeller.py"), "label"]
    command = [*program, *map(str, arguments), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if kill_s is None:
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        return
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(kill_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shrink(mask: Any) -> Any:
    """Return a mask without its first column of pixels."""
    pixels = decode_mask(mask, *mask["size"])
    pixels[:, pixels.any(axis=0).argmax()] = 0
    return encode_mask(pixels)


if __name__ == "__main__":
    main()

"""Kill `ovsam label` or `ovsam detect` at random moments, restart it, compare with a quiet run.

    python benchmarks/faults/kill9.py --images FOLDER            # the real command, embedded model
    python benchmarks/faults/kill9.py --images FOLDER --command detect \
        --program tests/doubles/fake_labeller.py

Prints one JSON object; exits 1 when a row was lost, doubled or differs. Checked after every kill:
each part is whole, no image stands twice, and every row that was committed before is still there.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ovsam_pipeline.output.folder import iterate_rows, list_parts, read_run_file

_COMMAND = [sys.executable, "-c", "from ovsam_pipeline.cli import main; main()"]


def main() -> None:
    """Run the experiment and print what was found."""
    options = parse_options()
    program = [sys.executable, options.program] if options.program else _COMMAND
    program = [*program, options.command]
    with tempfile.TemporaryDirectory() as folder:
        quiet, killed = Path(folder, "quiet"), Path(folder, "killed")
        flags = ["--part-images", str(options.part_images), *options.flags]
        start_s = time.monotonic()
        run(program, options.images, quiet, flags, expect=options.expect)
        quiet_s = time.monotonic() - start_s
        label_s = json.loads((quiet / "run.json").read_text())["run"]["seconds"]
        num_images = len(read_rows(quiet)[0])
        dice = random.Random(options.seed)
        pace = Pace(dice, quiet_s - label_s, label_s / num_images, num_images, options.kills)
        start_s = time.monotonic()
        found = kill_again_and_again(program, options, killed, flags, pace)
        # Nothing is left to fail where a run got to its end.
        code = 0 if found["ended_before_the_kill"] else options.expect
        run(program, options.images, killed, flags, expect=code)
        found["seconds"] = {
            "quiet": round(quiet_s, 2),
            "killed_and_restarted": round(time.monotonic() - start_s, 2),
        }
        found |= compare(read_rows(quiet)[0], killed)
    found["part_images"] = options.part_images
    found["seed"] = options.seed
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if found["is_equal"] and not found["lost"] and not found["doubled"] else 1)


def parse_options() -> argparse.Namespace:
    """Read the command line; flags after `--` go to the command."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--images", required=True)
    parser.add_argument("--program", help="Python file to run instead of the installed command")
    parser.add_argument("--command", choices=("label", "detect"), default="label")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--part-images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--expect", type=int, default=0, help="exit code of a run left alone")
    parser.add_argument("flags", nargs="*", help="more flags of the command, after --")
    return parser.parse_args()


class Pace:
    """Chooses how long a run lives: anywhere from its first millisecond to some way into labelling.

    Args:
        dice: source of chance.
        startup_s: time before the first image.
        image_s: time that an image takes.
        num_images: how many there are.
        kills: how many runs will be killed; together they should not finish.
    """

    def __init__(
        self,
        dice: random.Random,
        startup_s: float,
        image_s: float,
        num_images: int,
        kills: int,
    ) -> None:
        self._dice = dice
        self._startup_s = startup_s
        self._image_s = image_s
        self._num_images = num_images
        self._kills = kills
        self.last_process: int | None = None

    def wait(self, process: subprocess.Popen[bytes], out: Path, done: int, kills: int) -> None:
        """Wait for the moment to kill; one run in five is killed while it starts.

        Raises:
            subprocess.TimeoutExpired: the moment has come, and the process still runs.
        """
        if self._dice.random() < 0.2:
            process.wait(timeout=self._dice.uniform(0, self._startup_s))
            return
        # It is not `process` itself that labels, but one that it starts.
        while process.poll() is None and read_run_file(out).get("process") == self.last_process:
            time.sleep(0.02)
        # Half: the machine may be faster by now than when the quiet run was timed.
        left_s = 0.5 * (self._num_images - done) * self._image_s
        process.wait(timeout=self._dice.uniform(0, left_s / (self._kills - kills)))


def kill_again_and_again(
    program: list[str], options: argparse.Namespace, out: Path, flags: list[str], pace: Pace
) -> dict[str, Any]:
    """Start, kill, check; return counts."""
    known: dict[str, Any] = {}
    counts = {"kills": 0, "ended_before_the_kill": 0, "lost": 0, "doubled": 0}
    progress = []
    while counts["kills"] < options.kills and not counts["ended_before_the_kill"]:
        pace.last_process = read_run_file(out).get("process")
        process = start(program, options.images, out, flags)
        try:
            pace.wait(process, out, len(known), counts["kills"])
            counts["ended_before_the_kill"] += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            counts["kills"] += 1
        rows, doubled = read_rows(out)
        counts["doubled"] += doubled
        counts["lost"] += sum(rows.get(name) != row for name, row in known.items())
        known = rows
        progress.append(len(rows))
    return {**counts, "images_committed_after_each_kill": progress}


def start(program: list[str], images: str, out: Path, flags: list[str]) -> subprocess.Popen[bytes]:
    """Start a run; nobody reads what it prints until it ends."""
    command = [*program, images, "-o", str(out), *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def run(program: list[str], images: str, out: Path, flags: list[str], *, expect: int) -> None:
    """Run to the end.

    Raises:
        SystemExit: the run did not end with the expected code.
    """
    process = start(program, images, out, flags)
    said = process.communicate()[1].decode()
    if process.returncode != expect:
        code = process.returncode
        raise SystemExit(f"expected an undisturbed run to exit {expect}, got {code}: {said}")


def read_rows(out: Path) -> tuple[dict[str, Any], int]:
    """Return the committed rows by file name, and how many stand twice."""
    rows: dict[str, Any] = {}
    total = 0
    for row in iterate_rows(out):
        rows[row["file_name"]] = row
        total += 1
    return rows, total - len(rows)


def compare(quiet: dict[str, Any], out: Path) -> dict[str, Any]:
    """Compare the final rows with the quiet run's."""
    rows, doubled = read_rows(out)
    failed = sum(row["status"] == "failed" for row in rows.values())
    annotations = out / "annotations.json"  # `ovsam detect` writes none
    images = json.loads(annotations.read_text())["images"] if annotations.exists() else None
    leftovers = [path.name for path in out.rglob(".*") if path.name != ".lock"]
    return {
        "images": len(quiet),
        "parts": len(list_parts(out)),
        "doubled_at_the_end": doubled,
        "temporary_files_left": len(leftovers),
        "is_equal": rows == quiet
        and not doubled
        and not leftovers
        and (images is None or len(images) == len(rows) - failed),
    }


if __name__ == "__main__":
    main()

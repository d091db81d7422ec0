"""Kill a training with SIGKILL at random moments, again and again, and compare its curve.

    python benchmarks/faults/training_kill9.py --out /tmp/kill9 -- ovsam train labels --config ... \
        --data ... --init ...

The command gets `--out FOLDER` (or, with --out-first, the folder as its first argument), once for
a run that nobody disturbs and once for one that is killed and started again until it has ended.
Both logs must have the same lines, leaving out what depends on the clock. Prints one JSON object;
exits 1 where a line differs.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# What the clock decides, and what a process that began later has seen less of.
CLOCK = ("elapsed_s", "images_per_s", "data_wait_s", "peak_memory_mb")


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of losses of a run, without what depends on the clock."""
    path = folder / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {name: value for name, value in line.items() if name not in CLOCK}
        for line in lines
        if not any(isinstance(value, dict) for value in line.values())
    ]


def read_seconds(folder: Path) -> float:
    """Return how long a run has trained."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return float(json.loads(lines[-1])["elapsed_s"])


def wait_for_training(process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a process has begun to train: it has touched the log, or has ended."""
    before = log.stat().st_mtime_ns if log.exists() else None
    while process.poll() is None:
        if log.exists() and log.stat().st_mtime_ns != before:
            return
        time.sleep(0.01)


def kill_again_and_again(
    command: list[str], folder: Path, kills: int, draw: random.Random, span_s: float
) -> list[dict[str, Any]]:
    """Start a command, kill it after a random time of training, and so on; then let it end.

    Args:
        command: Of the run.
        folder: Of the run.
        kills: How often; less where it ends before.
        draw: Of the moments.
        span_s: Longest time of training before a kill.

    Returns:
        For each kill its time and how many checkpoints there were.
    """
    moments: list[dict[str, Any]] = []
    for _ in range(kills):
        wait_s = draw.uniform(0, span_s)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for_training(process, folder / "log.jsonl")
        try:
            process.wait(wait_s)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        found = sorted(folder.glob("checkpoint-*.json"))
        step = json.loads(found[-1].read_text())["step"] if found else 0
        moments.append({"after_s": round(wait_s, 2), "checkpoint": step})
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return moments


def compare(
    command: list[str], out: Path, kills: int, seed: int, *, is_out_first: bool = False
) -> dict[str, Any]:
    """Run a command undisturbed and killed; return what was seen."""

    def complete(name: str) -> list[str]:
        folder = str(out / name)
        if is_out_first:
            return [*command[:2], folder, *command[2:]]
        return [*command, "--out", folder]

    start = time.monotonic()
    subprocess.run(complete("whole"), check=True, stderr=subprocess.DEVNULL)
    whole_s = time.monotonic() - start
    whole = read_curve(out / "whole")
    training_s = read_seconds(out / "whole")
    # On the average each sitting trains for its share of the run.
    span_s = 2 * training_s / max(kills, 1)
    moments = kill_again_and_again(
        complete("killed"), out / "killed", kills, random.Random(seed), span_s
    )
    killed = read_curve(out / "killed")
    rows = [pair for pair in zip(whole, killed, strict=False) if pair[0] != pair[1]]
    return {
        "lines": len(whole),
        "lines_of_the_killed_run": len(killed),
        "kills": moments,
        "whole_s": round(whole_s, 1),
        "training_s": training_s,
        "first_difference": rows[0] if rows else None,
        "is_equal": whole == killed and bool(whole),
    }


def main() -> None:
    """Compare and say so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder for both runs")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out-first", action="store_true", help="the folder is argument 1")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    found = compare(command, given.out, given.kills, given.seed, is_out_first=given.out_first)
    print(json.dumps(found, indent=1))
    sys.exit(0 if found["is_equal"] else 1)


if __name__ == "__main__":
    main()

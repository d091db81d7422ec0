"""The rows that a cluster writes are those that one process writes: all fields of all rows.

    python benchmarks/faults/local_equals_ray.py examples/scenes [--tasks label detect relabel]
    python benchmarks/faults/local_equals_ray.py --generate 2000 --tasks label

Runs `ovsam` twice for each task, with `--engine local` and with `--engine ray`, one thread a
worker, and compares the rows by file name, and all of annotations.json but its order. `--generate
N` draws N scenes first (`ovsam scenes`, 320 pixels). Prints one JSON object; exits 1 where anything
differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

TASKS = ("label", "detect", "relabel")


def main() -> None:
    """Compare the engines on every task and exit 1 where they differ."""
    options = parse_options()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        source = options.source or draw_scenes(Path(folder) / "scenes", options.generate)
        found = {
            task: compare_engines(task, source, Path(folder) / task, options)
            for task in options.tasks
        }
    num_different = sum(result["different"] for result in found.values())
    print(json.dumps({"source": options.source or f"{options.generate} scenes", **found}, indent=2))
    raise SystemExit(1 if num_different else 0)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", help="images; or --generate N")
    parser.add_argument("--generate", type=int, help="draw so many scenes and take those")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--num-actors", type=int, default=2)
    options = parser.parse_args()
    if (options.source is None) == (options.generate is None):
        parser.error("expected a folder of images or --generate N, one of them")
    return options


def draw_scenes(folder: Path, count: int) -> str:
    """Draw scenes and return their folder."""
    run_ovsam(["scenes", str(folder), "--count", str(count), "--seed", "5", "--size", "320"])
    return str(folder)


def compare_engines(
    task: str, source: str, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Run a task with both engines and return what was compared, and how many rows differ."""
    if task == "relabel":
        run_ovsam(["label", source, "-o", str(folder / "first"), "--engine", "local"])
        command = ["label", "--relabel", str(folder / "first"), "--vocabulary", "dog,pizza,car"]
    else:
        command = [task, source]
    of_ray = ["--num-actors", str(options.num_actors), "--cpus-per-actor", "1"]
    seconds = {}
    for engine, flags in (("local", []), ("ray", of_ray)):
        start_s = time.perf_counter()
        run_ovsam([*command, "-o", str(folder / engine), "--engine", engine, *flags])
        seconds[f"{engine}_s"] = round(time.perf_counter() - start_s, 1)
    local, ray = (read_rows(folder / engine) for engine in ("local", "ray"))
    different = [name for name in local.keys() | ray.keys() if local.get(name) != ray.get(name)]
    has_same_file = _read_annotations(folder / "local") == _read_annotations(folder / "ray")
    return {
        "rows": len(local),
        "objects": sum(len(row["objects"]) for row in local.values()),
        "different": len(different) + (not has_same_file),
        "first_different": sorted(different)[:5],
        "annotations_are_equal": has_same_file,
        **seconds,
    }


def run_ovsam(arguments: list[str]) -> None:
    """Run the command; its notes are kept back unless it fails."""
    code = f"import sys; sys.argv = ['ovsam', *{arguments!r}]; from ovsam_pipeline.cli import main"
    command = [sys.executable, "-c", f"{code}; main()"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"ovsam {' '.join(arguments)} exited {done.returncode}:\n{done.stderr}")


def read_rows(output: Path) -> dict[str, dict[str, Any]]:
    """Return every row of an output by file name; a name that stands twice is an error."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted((output / "parts").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if row["file_name"] in rows:
                raise SystemExit(f"{output}: {row['file_name']} has two rows")
            rows[row["file_name"]] = row
    return rows


def _read_annotations(output: Path) -> dict[str, list[str]]:
    """Return the tables of annotations.json, or nothing where the task writes none.

    Their order follows the parts, which differ; ids do not.
    """
    path = output / "annotations.json"
    if not path.exists():
        return {}
    tables = json.loads(path.read_text())
    names = ("images", "categories", "annotations")
    return {name: sorted(map(json.dumps, tables[name])) for name in names}


if __name__ == "__main__":
    main()

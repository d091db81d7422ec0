"""Mutated files of every kind: a sentence or a value, never a traceback, a crash or a hang."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from locations import ROOT


@pytest.fixture(scope="module")
def fuzz():
    path = ROOT / "benchmarks" / "faults" / "fuzz_inputs.py"
    spec = importlib.util.spec_from_file_location("fuzz_inputs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def describe(counts):
    found = [(row["kind"], what) for row in counts["kinds"] for what in row["found"]]
    return [counts["tracebacks"], counts["crashes"], counts["hangs"]], found


def test_some_mutated_files_of_each_kind_are_sentences(fuzz):
    names = [kind.name for kind in fuzz.KINDS if not kind.name.startswith(("image.", "train"))]
    counts = fuzz.run_all(200, 5, names)
    assert counts["inputs"] >= 200
    assert describe(counts) == ([0, 0, 0], [])


@pytest.mark.slow
def test_many_mutated_files_of_each_kind_are_sentences():
    # In a process of its own: one that is forked counts the memory of all tests before as its own.
    script = ROOT / "benchmarks" / "faults" / "fuzz_inputs.py"
    done = subprocess.run(
        [sys.executable, script, "--inputs", "10500", "--seed", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    counts = json.loads(done.stdout)
    assert counts["inputs"] >= 10_000
    assert describe(counts) == ([0, 0, 0], [])
    assert counts["peak_memory_mb"] < 1500


def test_findings_are_counted(fuzz, tmp_path):
    def fail(path):
        if path.read_bytes().startswith(b"x"):
            raise KeyError("lost")

    def make(folder):
        return b"good"

    def change(random_, content):
        return random_.choice((b"x", b"y"))

    kind = fuzz.Kind("a.bin", make, change, fail)
    row = fuzz.watch_kind(kind, 1, 20, tmp_path)
    (found,) = row["found"]
    assert found.startswith("KeyError at ")
    assert 0 < row["found"][found] < 20
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"x"]

"""What a run meets on a bad day, and in a folder that somebody prepared: one table.

    python benchmarks/faults/hostile_inputs.py [--runs 4] [--seed 1] [--only NAME] [--json FILE]

Each test runs `ovsam` with fake networks (tests/doubles/fake_labeller.py) some times under a fault
that chance varies, then once without it, and compares the rows with those of a quiet run: lost,
doubled. Counted as well: tracebacks, runs of code that a data folder names, and the peak memory of
any process. Exit code 1 where one of the first four is not 0. Linux; as root the tests of
permissions run as "nobody".
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import random
import resource
import shutil
import sys
import tempfile
import traceback
import zoneinfo  # noqa: F401  pyarrow asks for it late
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "doubles")]

import fake_labeller  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from ovsam_pipeline.output.folder import iterate_rows, list_parts  # noqa: E402

NUM_IMAGES, NOBODY = 24, 65534
COMMANDS = (["report", "out"], ["status", "out"], ["export", "out", "--to", "x.json"])
TYPES = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.int8()), pa.binary())
VALUES = (None, 5, -1.5, "x", [], [1], {}, {"a": 1}, True, "[" * 200_000, "\x1b[31m", 2**70)


@dataclass
class Bench:
    """A folder of images, the rows of a quiet run over it, and what was counted in one test."""

    folder: Path
    dice: random.Random
    expected: dict[str, Any] = field(default_factory=dict)
    runs: int = 0
    tracebacks: list[str] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    peak_kb: int = 0

    def path(self, name: str) -> Path:
        """Return a path in the folder."""
        return self.folder / name

    def run(self, *arguments: str, fault: Callable[[], None] | None = None) -> int:
        """Run a command in a process of its own, under a fault; return its exit code."""
        with self.path("said").open("wb") as said:
            pid = os.fork()
            if pid == 0:
                self._be_the_command(arguments, said.fileno(), fault)
            _, status, usage = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        text = self.path("said").read_text(encoding="utf-8", errors="replace")
        self.runs += 1
        self.codes.add(code)
        self.peak_kb = max(self.peak_kb, usage.ru_maxrss)
        if "Traceback (most recent" in text or "internal error" in text:
            self.tracebacks.append(f"{' '.join(arguments)}: {text[-600:]}")
        return code

    def _be_the_command(
        self, arguments: tuple[str, ...], said: int, fault: Callable[[], None] | None
    ) -> None:
        code = 99
        try:
            os.chdir(self.folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said, 1)
            os.dup2(said, 2)
            if fault is not None:
                fault()
            sys.argv = ["ovsam", *arguments]
            fake_labeller.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001  counted, whatever it is
            os.write(said, traceback.format_exc().encode())
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError, AttributeError):
                    code = code or 1
            os._exit(code)

    def label(self, *more: str, fault: Callable[[], None] | None = None) -> int:
        """Label the images into "out"."""
        return self.run("label", "in", "-o", "out", "--part-images", "5", *more, fault=fault)

    def clear(self) -> None:
        """Remove the output."""
        shutil.rmtree(self.path("out"), ignore_errors=True)

    def compare(self) -> tuple[int, int]:
        """Return how many rows are lost or differ, and how many are there twice."""
        rows = list(iterate_rows(self.path("out")))
        found = {row["file_name"]: row for row in rows}
        lost = sum(found.get(name) != row for name, row in self.expected.items())
        return lost, len(rows) - len(found)


def limit(kind: int, number: int) -> Callable[[], None]:
    """Return what lowers a limit of the process."""
    return lambda: resource.setrlimit(kind, (number, number))


def fill_disk(bench: Bench) -> None:
    """No file can grow beyond some bytes, in each run others."""
    bench.label(fault=limit(resource.RLIMIT_FSIZE, bench.dice.randint(0, 12_000)))


def run_out_of_handles(bench: Bench) -> None:
    """Few files can be open at once."""
    bench.label(fault=limit(resource.RLIMIT_NOFILE, bench.dice.choice((8, 10, 12, 16, 24, 32, 64))))


def break_streams(bench: Bench) -> None:
    """Standard streams are closed, full, or a pipe that nobody reads."""

    def close(number: int) -> Callable[[], None]:
        return lambda: os.close(number)

    def fill(number: int) -> Callable[[], None]:
        return lambda: void(os.dup2(os.open("/dev/full", os.O_WRONLY), number))

    def cut(number: int) -> Callable[[], None]:
        def break_pipe() -> None:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, number)

        return break_pipe

    fault = bench.dice.choice((close, fill, cut))(bench.dice.choice((1, 2)))
    bench.label(*bench.dice.choice(((), ("--json",), ("--log-format", "json"))), fault=fault)
    for command in COMMANDS[:2]:
        bench.run(*command, fault=fault)


def void(_: object) -> None:
    """Drop a value."""


def take_rights(bench: Bench) -> None:
    """A user without rights meets a closed sub-folder, or an output that cannot be written."""
    os.chmod(bench.folder, 0o755)  # noqa: PTH101  beside chown
    closed = bench.path("in") / "closed"
    closed.mkdir(mode=0o000, exist_ok=True)
    bench.path("out").mkdir(exist_ok=True)
    os.chown(bench.path("out"), *(2 * [bench.dice.choice((0, NOBODY))]))
    os.environ["HOME"] = str(bench.folder)
    become = (lambda: os.setuid(NOBODY)) if os.getuid() == 0 else None
    bench.label(fault=become)
    for path in (bench.path("out"), *bench.path("out").rglob("*")):
        os.chown(path, os.getuid(), os.getgid())
    closed.rmdir()


def double_rows(bench: Bench) -> None:
    """A part is there again under another name."""
    bench.label()
    part = bench.dice.choice(list_parts(bench.path("out")))
    shutil.copy(part, part.with_name("part-ffffffffffffffff.parquet"))
    for command in COMMANDS:
        bench.run(*command)


def damage_bytes(bench: Bench) -> None:
    """A bit of a part is another, or its end is missing."""
    bench.label()
    part = bench.dice.choice(list_parts(bench.path("out")))
    content = bytearray(part.read_bytes())
    if bench.dice.random() < 0.3:
        content = content[: bench.dice.randrange(len(content))]
    else:
        content[bench.dice.randrange(len(content))] ^= 1 << bench.dice.randrange(8)
    part.write_bytes(content)
    for command in COMMANDS:
        bench.run(*command)
    bench.label()


def damage_columns(bench: Bench) -> None:
    """A column of a part is of another type, or missing; or its record of images is changed."""
    bench.label()
    part = bench.dice.choice(list_parts(bench.path("out")))
    table = pq.read_table(part)
    stored = json.loads(table.schema.metadata[b"ovsam"])
    place = bench.dice.randrange(table.num_columns + 2)
    if place < table.num_columns:
        name, kind = table.schema.names[place], bench.dice.choice(TYPES)
        table = table.drop_columns([name])
        if bench.dice.random() < 0.8:
            table = table.append_column(name, pa.nulls(len(table), kind))
    else:
        stored[bench.dice.choice(list(stored))] = bench.dice.choice(VALUES)
    text = json.dumps(stored)
    pq.write_table(table.replace_schema_metadata({"ovsam": text}), part)
    for command in COMMANDS:
        bench.run(*command)
    bench.label()


def damage_run_files(bench: Bench) -> None:
    """A value of run.json or status.json is another, or the file is none."""
    bench.label()
    file = bench.path("out") / bench.dice.choice(("run.json", "status.json"))
    values = json.loads(file.read_text())
    value = bench.dice.choice(VALUES)
    if bench.dice.random() < 0.8:
        values[bench.dice.choice(list(values))] = value
        file.write_text(json.dumps(values))
    else:
        file.write_text(value if isinstance(value, str) else json.dumps(value))
    for command in COMMANDS:
        bench.run(*command)
    if bench.label() != 0:
        file.unlink()  # as the message says: moved away, which loses no labels


def name_code(bench: Bench) -> None:
    """run.json names a file of code; modules of known names lie in the start folder."""
    bench.label()
    code = f"open({str(bench.path('ran'))!r}, 'a').write('x')\n"
    for name in ("statistics.py", "numpy.py", "sitecustomize.py", "detector.py", "out/detector.py"):
        bench.path(name).write_text(code)
    file = bench.path("out") / "run.json"
    values = json.loads(file.read_text())
    values["settings"]["detector"] = values["resolved"]["detector"] = "python:detector.py"
    file.write_text(json.dumps(values))
    bench.run("label", "out", "--retry-failed")
    for command in COMMANDS:
        bench.run(*command)
    for name in ("statistics.py", "numpy.py", "sitecustomize.py", "detector.py", "out/detector.py"):
        bench.path(name).unlink()


TESTS: dict[str, Callable[[Bench], None]] = {
    "full disk": fill_disk,
    "few file handles": run_out_of_handles,
    "streams closed, full, cut": break_streams,
    "no rights": take_rights,
    "rows doubled": double_rows,
    "bits of own parts": damage_bytes,
    "columns and records of own parts": damage_columns,
    "run.json, status.json": damage_run_files,
    "code named by data": name_code,
}


def import_all() -> None:
    """Import what the command imports, before it forks: "nobody" may not read the library."""
    from PIL import Image

    Image.init()
    for package in ("ovsam_pipeline.output", "ovsam_pipeline.sources", "ovsam_pipeline.engines",
                    "ovsam_pipeline.export", "ovsam_pipeline.runs", "ovsam_pipeline.labelling",
                    "ovsam_pipeline.monitoring", "ovsam_pipeline.terminal", "rich",
                    "ovsam.decoding"):  # fmt: skip
        folders = importlib.import_module(package).__path__
        for module in pkgutil.iter_modules(folders, f"{package}."):
            with suppress(ImportError):
                importlib.import_module(module.name)


def measure(name: str, bench: Bench, num_rounds: int) -> dict[str, Any]:
    """Run a test some times; after each, a run without the fault has to bring every row back."""
    lost = doubled = 0
    bench.runs, bench.peak_kb, bench.tracebacks, bench.codes = 0, 0, [], set()
    for _ in range(num_rounds):
        bench.clear()
        TESTS[name](bench)
        if bench.label() != 0:
            bench.label("--on-existing", "overwrite")
            lost += NUM_IMAGES
        missing, twice = bench.compare()
        lost, doubled = lost + missing, doubled + twice
    ran = bench.path("ran")
    foreign = len(ran.read_text()) if ran.exists() else 0
    return {
        "test": name,
        "runs": bench.runs,
        "lost": lost,
        "doubled": doubled,
        "tracebacks": len(bench.tracebacks),
        "foreign_code": foreign,
        "exit_codes": sorted(bench.codes),
        "peak_mb": bench.peak_kb // 1024,
        "shown": bench.tracebacks[:3],
    }


def main() -> int:
    """Run the tests and print the table."""
    parser = argparse.ArgumentParser(description="Faults and prepared files, counted.")
    parser.add_argument("--runs", type=int, default=4, help="rounds of each test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="tests whose name holds this")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    results = []
    import_all()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), random.Random(options.seed))
        fake_labeller.write_images(bench.path("in"), NUM_IMAGES)
        if bench.label() != 0:
            raise SystemExit(f"the quiet run failed: {bench.path('said').read_text()}")
        bench.expected = {row["file_name"]: row for row in iterate_rows(bench.path("out"))}
        for name in TESTS:
            if options.only in name:
                results.append(measure(name, bench, options.runs))
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    bad = ("lost", "doubled", "tracebacks", "foreign_code")
    print(f"| test | runs | {' | '.join(bad)} | exit codes | peak MB |\n|{'---|' * 8}")
    for row in results:
        cells = [row["test"], row["runs"], *(row[name] for name in bad)]
        codes = ", ".join(map(str, row["exit_codes"]))
        print(f"| {' | '.join(map(str, cells))} | {codes} | {row['peak_mb']} |")
    if options.json:
        text = json.dumps({"seed": options.seed, "tests": results}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if any(row[name] for row in results for name in bad) else 0


if __name__ == "__main__":
    sys.exit(main())

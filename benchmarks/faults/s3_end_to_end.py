"""Labelling from S3 into S3 on this machine, quiet and with what goes wrong on the way.

    python benchmarks/faults/s3_end_to_end.py [--images 60] [--seed 1] [--only 429] [--json FILE]

moto's S3 server runs as a process of its own, a proxy in front of it makes the faults, and each
case is an `ovsam label s3://… -o s3://…` of its own (fake networks, leases of 15 s).
Prints a Markdown table and JSON: whether every image is there exactly once, whether the rows are
those of the quiet run, seconds, and what the command said. Exit code 1 where a case is not as it
should be.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "doubles")]

from fake_labeller import write_images  # noqa: E402
from s3_server import Fault, FaultProxy, run_fault_proxy, run_s3_server, set_login  # noqa: E402

from ovsam_pipeline.output.folder import iterate_rows, list_parts  # noqa: E402
from ovsam_pipeline.storage.remote_path import RemotePath  # noqa: E402

BUCKET = "ovsam-bench"
SOURCE = f"s3://{BUCKET}/in"
LEASE_S, IMAGE_S = 15.0, 0.05
# Set by `main`.
PROXY: list[FaultProxy] = []
SEED = [0]


@dataclass(frozen=True)
class Case:
    """One run and what goes wrong in it.

    Attributes:
        name: for the table.
        faults: of the proxy.
        exit_code: that the command should have.
        failed: images that should be failed rows.
        is_refused: whether no row should be written.
        act: in place of one command.
        say: what the command should say.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    exit_code: int = 0
    failed: int = 0
    is_refused: bool = False
    act: Callable[[str], tuple[int, str]] | None = None
    say: str = ""


def start(output: str) -> subprocess.Popen[str]:
    """Start the command with fake networks."""
    fake = ROOT / "tests" / "doubles" / "fake_labeller.py"
    program = [sys.executable, str(fake), "label", SOURCE]
    return subprocess.Popen(
        [*program, "-o", output, "--part-images", "10", "--json", "--quiet"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FAKE_SECONDS": str(IMAGE_S),
            "FAKE_LEASE_S": str(LEASE_S),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def label(output: str) -> tuple[int, str]:
    """Run the command; return exit code and what it said on stderr."""
    run = start(output)
    _, said = run.communicate(timeout=300)
    return run.returncode, said


def kill_and_repeat(output: str) -> tuple[int, str]:
    """Kill a run after its second part, then start it until the dead one's lease has run out."""
    run = start(output)
    while run.poll() is None and len(list_parts(RemotePath(output))) < 2:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    code, said, refusals = label_when_free(output)
    return code, f"refused {refusals} times until the dead run's lease ran out; {said}"


def label_when_free(output: str) -> tuple[int, str, int]:
    """Start a run until the lease of one that could not remove its own has run out."""
    for refusals in range(100):
        code, said = label(output)
        if code != 75:
            return code, said, refusals
    raise SystemExit(f"{output} does not become free")


def start_three(output: str) -> tuple[int, str]:
    """Start three runs at once: one labels, two are refused, and nothing is doubled."""
    runs = [start(output) for _ in range(3)]
    said = [run.communicate(timeout=300)[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    return 0 if codes == [0, 75, 75] else 99, f"exit codes {codes}; {' '.join(said)}"


def repeat(output: str) -> tuple[int, str]:
    """Run a command that has to fail for what is wrong with the store, then mend that."""
    code, said = label(output)
    if code != 1:
        return 99, f"expected exit code 1, got {code}; {said}"
    for fault in PROXY[0].faults:
        fault.times = 0
    return label_when_free(output)[0], said


def build_cases(keys: list[str]) -> list[Case]:
    """Return the cases; the first is the quiet run."""
    reading = ("GET", "HEAD")
    return [
        Case("quiet"),
        Case("slow reads: 20 bodies of 1 s", (Fault("slow", "/in/", 20, seconds=1.0),)),
        Case("500 for 12 reads", (Fault("status", "/in/", 12, 500, methods=reading),)),
        Case(
            "503 SlowDown for 8 writes of parts",
            (Fault("status", "/parts/", 8, 503, methods=("PUT",)),),
        ),
        Case("connection reset in 8 bodies", (Fault("reset", "/in/", 8, methods=("GET",)),)),
        Case("500 for the first 10 requests", (Fault("status", times=10),)),
        Case(
            "3 objects vanish after listing",
            tuple(Fault("status", f"/{key}", status=404, methods=reading) for key in keys[:3]),
            exit_code=3,
            failed=3,
        ),
        Case("killed (-9), started again", act=kill_and_repeat),
        Case("three runs started together", act=start_three),
        Case(
            "three runs, listings late by 60 s",
            (Fault("late", "list-type", seconds=60),),
            act=start_three,
        ),
        Case(
            "three runs, conditions ignored",
            (Fault("unconditional", "/.lock", methods=("PUT",)),),
            act=start_three,
        ),
        Case("429 for 40 % of all requests", (Fault("status", status=429, share=0.4),)),
        Case(
            "15 % of bodies arrive shorter", (Fault("short", "/in/", share=0.15, methods=("GET",)),)
        ),
        Case(
            "15 % of bodies arrive with a flipped bit",
            (Fault("flip", "/in/", share=0.15, methods=("GET",)),),
        ),
        Case(
            "login expires in mid-run (403), renewed",
            (Fault("status", status=403, code="ExpiredToken", skipped=70),),
            act=repeat,
            say="the login has expired",
        ),
        Case(
            "login expires in mid-run (400), renewed",
            (Fault("status", status=400, code="ExpiredToken", skipped=110),),
            act=repeat,
            say="the login has expired",
        ),
        Case(
            "clock too far off in mid-run, set",
            (Fault("status", status=403, code="RequestTimeTooSkewed", skipped=90),),
            act=repeat,
            say="the clock of this machine",
        ),
        Case(
            "login may not write",
            (Fault("status", status=403, methods=("PUT", "POST")),),
            exit_code=2,
            is_refused=True,
            say="access to ovsam-bench is refused",
        ),
        Case(
            "login may not list",
            (Fault("status", "list-type", status=403),),
            exit_code=2,
            is_refused=True,
            say="access to ovsam-bench is refused",
        ),
        Case(
            "unknown access key",
            (Fault("status", status=403, code="InvalidAccessKeyId"),),
            exit_code=2,
            is_refused=True,
        ),
        Case(
            "writes of parts fail for ever",
            (Fault("status", "/parts/part-", methods=("PUT", "POST")),),
            exit_code=1,
            is_refused=True,
        ),
    ]


def measure(case: Case, number: int, proxy: FaultProxy, quiet: dict[str, Any]) -> dict[str, Any]:
    """Run a case and look at what is in the bucket afterwards."""
    output = f"s3://{BUCKET}/out-{number}"
    proxy.faults[:] = case.faults
    proxy.dice.seed(SEED[0] + number)
    start_s, before = time.perf_counter(), len(proxy.requests)
    code, said = (case.act or label)(output)
    seconds, num_requests = time.perf_counter() - start_s, len(proxy.requests) - before
    proxy.faults.clear()
    rows = list(iterate_rows(RemotePath(output)))
    by_name = {row["file_name"]: row for row in rows}
    failed = sum(row["status"] == "failed" for row in rows)
    expected = quiet or by_name
    names = [] if case.is_refused else list(expected)
    is_equal = all(
        by_name.get(name) == expected[name]
        for name in names
        if by_name.get(name, {}).get("status") != "failed"
    )
    is_once = len(rows) == len(by_name) == len(names)
    if not quiet:
        quiet.update(by_name)
    return {
        "case": case.name,
        "faults_hit": sum(fault.hits for fault in case.faults),
        "exit_code": code,
        "rows": len(rows),
        "failed": failed,
        "each_image_once": is_once,
        "rows_equal_quiet": is_equal,
        "seconds": round(seconds, 1),
        "requests": num_requests,
        "said": " ".join(said.split()),
        "is_right": code == case.exit_code
        and case.say in said
        and "Traceback" not in said
        and ".cc:" not in said
        and failed == case.failed
        and is_once
        and is_equal
        and all(fault.hits for fault in case.faults),
    }


def format_table(results: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| what goes wrong | faults | exit code | images exactly once | rows as when quiet | s | "
        "requests |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        rows = f"{result['rows']}" + (f" ({result['failed']} failed)" if result["failed"] else "")
        once = f"yes, {rows}" if result["each_image_once"] and result["rows"] else "no row written"
        if not result["each_image_once"]:
            once = f"NO, {rows}"
        equal = ("yes" if result["rows_equal_quiet"] else "NO") if result["rows"] else "-"
        lines.append(
            f"| {result['case']} | {result['faults_hit']} | {result['exit_code']} | {once} | "
            f"{equal} | {result['seconds']} | {result['requests']} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run all cases."""
    parser = argparse.ArgumentParser(description="Labelling from S3 into S3, with faults.")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of faults that come by chance")
    parser.add_argument("--only", help="cases whose name holds this, and the quiet one")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    SEED[0] = options.seed
    with (
        tempfile.TemporaryDirectory() as folder,
        run_s3_server() as url,
        run_fault_proxy(url) as proxy,
        set_login(proxy.url),
    ):
        import boto3

        PROXY.append(proxy)
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        write_images(Path(folder), options.images)
        keys = []
        for file in sorted(Path(folder).iterdir()):
            keys.append(f"in/{file.name}")
            client.put_object(Bucket=BUCKET, Key=keys[-1], Body=file.read_bytes())
        quiet: dict[str, Any] = {}
        results = []
        for number, case in enumerate(build_cases(keys)):
            if number and options.only and options.only not in case.name:
                continue
            results.append(measure(case, number, proxy, quiet))
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    print(format_table(results))
    text = json.dumps({"images": options.images, "cases": results}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if all(result["is_right"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""A month of cron on this machine: one command every night over a folder that grows.

    python benchmarks/faults/nights.py [--nights 30] [--seed 1] [--json FILE]

Images come from moto's S3 server, through a proxy; the output is a local folder; the networks are
fakes. In one night each: an image is broken (and stays so), the store goes away in mid-run, the
disk is full, the run is killed (-9), the clock is set back by 40 days. Nobody looks at anything in
between. At the end the output is compared with that of one run over the final folder from nothing:
each row, and the COCO file. Prints a Markdown table; exit code 1 where they differ, a traceback was
printed, or a night ended with a code that docs/cron.md does not have.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "doubles")]

from fake_labeller import write_images  # noqa: E402
from s3_server import Fault, FaultProxy, run_fault_proxy, run_s3_server, set_login  # noqa: E402

from ovsam_pipeline.output.folder import iterate_rows, read_run_file  # noqa: E402

BUCKET = "ovsam-nights"
KNOWN_CODES = {0, 1, 3, 4, -9}
# Python runs a file of this name at its start: the clock is wrong for the command alone.
CLOCK = """
import os, time
now = time.time
time.time = lambda: now() - float(os.environ["CLOCK_BACK_S"])
"""


@dataclass
class Month:
    """What the nights share."""

    proxy: FaultProxy
    client: Any
    folder: Path
    dice: random.Random
    number: int = 0
    nights: list[dict[str, Any]] = field(default_factory=list)

    @property
    def output(self) -> Path:
        """The output of all nights."""
        return self.folder / "out"

    def grow(self) -> None:
        """Put some images into the bucket, in folders of days."""
        count = self.dice.randint(2, 6)
        names = [f"day{len(self.nights):02d}/{self.number + n:04d}.png" for n in range(count)]
        self.number += count
        # Brightness, and so the label, is that of the position: all images of a night are new ones.
        write_images(self.folder / "new", count, names)
        for name in names:
            self.put(name, (self.folder / "new" / name).read_bytes())

    def put(self, name: str, content: bytes) -> None:
        """Put one object among the photos."""
        self.client.put_object(Bucket=BUCKET, Key=f"photos/{name}", Body=content)

    def start(self, output: Path, **changes: Any) -> subprocess.Popen[str]:
        """Start the command that cron starts."""
        program = str(ROOT / "tests" / "doubles" / "fake_labeller.py")
        command = [sys.executable, program, "label", f"s3://{BUCKET}/photos", "-o", str(output)]
        path = [str(ROOT), *([str(self.folder / "clock")] if "CLOCK_BACK_S" in changes else [])]
        if blocks := changes.pop("file_blocks", 0):
            # No file may grow beyond so many kilobytes, as on a disk that is full.
            command = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "bash", *command]
        return subprocess.Popen(
            [*command, "--config", "label-nightly", "--quiet"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **changes},
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, what: str, **changes: Any) -> None:
        """Run one night to its end and write down how it ended."""
        self.note(what, self.start(self.output, **changes))

    def note(self, what: str, night: subprocess.Popen[str]) -> None:
        """Wait for the end of a night; keep exit code and what was said."""
        printed, said = night.communicate(timeout=300)
        rows = list(iterate_rows(self.output)) if self.output.exists() else []
        self.nights.append(
            {
                "night": len(self.nights) + 1,
                "what": what,
                "exit_code": night.returncode,
                "rows": len(rows),
                "failed": sum(row["status"] == "failed" for row in rows),
                "images": self.number,
                "said": [line for line in said.splitlines() if line.strip()],
                "printed": printed.splitlines()[:2],
            }
        )
        self.proxy.faults.clear()


def break_image(month: Month) -> None:
    """Add an image whose last half is missing."""
    write_images(month.folder / "new", 1, ["broken.png"])
    content = (month.folder / "new" / "broken.png").read_bytes()
    month.put("broken.png", content[: len(content) // 2])
    month.number += 1
    month.run("one image is broken")


def lose_store(month: Month) -> None:
    """Let the store go away after the listing and one image, for the rest of the night."""
    month.proxy.faults.append(Fault("status", "/photos/", status=503, skipped=2))
    month.run("the store goes away in mid-run")


def fill_disk(month: Month) -> None:
    """Let no file grow beyond some bytes: parts cannot be written."""
    month.run("the disk is full", file_blocks=3)


def kill(month: Month) -> None:
    """Kill the run at a moment in its work."""
    before = read_run_file(month.output)
    night = month.start(month.output, FAKE_SECONDS="0.5")
    while night.poll() is None and read_run_file(month.output) == before:
        time.sleep(0.02)
    time.sleep(month.dice.uniform(0, 1))
    night.kill()
    month.note("the run is killed", night)


def set_clock_back(month: Month) -> None:
    """Let the machine believe that it is 40 days earlier."""
    month.run("the clock is set back", CLOCK_BACK_S=str(40 * 86400))


EVENTS = (break_image, lose_store, fill_disk, kill, set_clock_back)


def compare(output: Path, fresh: Path) -> dict[str, Any]:
    """Compare the rows and the COCO files of two outputs."""
    rows, others = (list(iterate_rows(folder)) for folder in (output, fresh))
    by_name, expected = ({row["file_name"]: row for row in table} for table in (rows, others))
    coco, wanted = (json.loads((f / "annotations.json").read_text()) for f in (output, fresh))
    for file in (coco, wanted):
        for name in ("images", "annotations"):
            file[name].sort(key=lambda item: json.dumps({**item, "id": 0}, sort_keys=True))
        for item in file["annotations"]:
            item["id"] = 0  # numbered in the order of parts
        for name in ("info", "ovsam"):  # when it was written, and a hash of all
            file.pop(name, None)
    return {
        "images": len(expected),
        "lost": len(expected.keys() - by_name.keys()),
        "doubled": len(rows) - len(by_name),
        "differ": sum(by_name.get(name) != row for name, row in expected.items()),
        "coco_equal": coco == wanted,
    }


def format_table(nights: list[dict[str, Any]]) -> str:
    """Return the nights as Markdown."""
    lines = ["| night | what happened | exit code | rows (failed) of images | said |"]
    lines.append("|---|---|---|---|---|")
    for night in nights:
        said = " / ".join(night["said"][:4] or night["printed"][:1]).replace("|", "\\|")
        lines.append(
            f"| {night['night']} | {night['what']} | {night['exit_code']} | {night['rows']} "
            f"({night['failed']}) of {night['images']} | {said[:300]} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Live through the nights."""
    parser = argparse.ArgumentParser(description="Nights of cron, with what goes wrong in some.")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    # Not in the first night, and one after the other is as bad as it gets.
    chosen = dict(zip(dice.sample(range(1, options.nights - 1), len(EVENTS)), EVENTS, strict=True))
    with (
        tempfile.TemporaryDirectory() as folder,
        run_s3_server() as url,
        run_fault_proxy(url) as proxy,
        set_login(proxy.url),
    ):
        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        month = Month(proxy, client, Path(folder), dice)
        (month.folder / "clock").mkdir()
        (month.folder / "clock" / "sitecustomize.py").write_text(CLOCK)
        for number in range(options.nights):
            month.grow()
            if number in chosen:
                chosen[number](month)
            else:
                month.run("")
            print(json.dumps(month.nights[-1]), file=sys.stderr, flush=True)
        fresh = month.start(month.folder / "fresh")
        fresh.communicate(timeout=600)
        found = compare(month.output, month.folder / "fresh")
    tracebacks = sum("Traceback" in str(night["said"]) for night in month.nights)
    codes = {night["exit_code"] for night in month.nights}
    found |= {"tracebacks": tracebacks, "exit_codes": sorted(codes), "seed": options.seed}
    print(format_table(month.nights))
    text = json.dumps({**found, "nights": month.nights}, indent=1)
    print(json.dumps(found))
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    is_equal = found["coco_equal"] and not (found["lost"] or found["doubled"] or found["differ"])
    return 0 if is_equal and not tracebacks and codes <= KNOWN_CODES else 1


if __name__ == "__main__":
    sys.exit(main())

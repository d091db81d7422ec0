"""Everything around the labelling at ten million images: list, plan, parts, failures, COCO, again.

    python benchmarks/scale/plan_ten_million.py --images 1000000
    python benchmarks/scale/plan_ten_million.py --images 1000000 --layout 5000  # faked scandir

A first run over made-up images and a labeller that answers at once; then a second over the same
images with 1,000 new, 500 changed and 200 deleted ones, pruned. Everything but the labels is what
`ovsam label` does in the process that drives a run: records to a spool, the check of names, footers
to the index, the plan, stale rows out of their parts, failures.jsonl and annotations.json. Parts
are real files, fsynced. Prints one JSON object: for each phase seconds, microseconds an image, and
the peak memory of the process; exits 1 when an image is missing or stands twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.output.folder import OutputFolder, list_parts
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.output.plan import Plan, check_images, plan_run
from ovsam_pipeline.records import (
    BoxRecord,
    ImageRecord,
    LabelRecord,
    ObjectRecord,
    compute_image_id,
)
from ovsam_pipeline.sources import tree
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.spool import ImageSpool

FINGERPRINT = "0123456789abcdef0123456789abcdef"
PART_IMAGES = 1024
NUM_NEW, NUM_CHANGED, NUM_DELETED = 1000, 500, 200
_MB = 1_000_000


def main() -> None:
    """Run the simulation and print what was found."""
    options = parse_options()
    meter = Meter(options.images)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tempfile.tempdir = folder
        pile = Pile(Path(folder, "photos"), options.images, options.layout)
        out = Path(folder, "out")
        is_right = run_once(meter, "first", pile, out, options.images)
        pile.change()
        is_right &= run_once(meter, "second", pile, out, options.images + NUM_NEW - NUM_DELETED)
        sizes = {
            "parts": sum(part.stat().st_size for part in list_parts(out)),
            "annotations": (out / "annotations.json").stat().st_size,
        }
        tempfile.tempdir = None
    found = {
        "images": options.images,
        "folders": options.layout,
        "phases": meter.phases,
        "output_mb": {name: round(size / _MB, 1) for name, size in sizes.items()},
        "is_right": is_right,
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if is_right else 1)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--layout", type=int, metavar="DIRS", help="list through a faked scandir")
    parser.add_argument("--folder", help="where to put a temporary folder (1 to 2 GB a million)")
    return parser.parse_args()


def run_once(meter: Meter, name: str, pile: Pile, out: Path, num_expected: int) -> bool:
    """Go through all phases of a run; whether the output has each image once."""
    with meter.measure(f"{name}: list"):
        images = ImageSpool(pile.list())
    with images, OutputFolder(out) as folder:
        with meter.measure(f"{name}: check names and ids"):
            check_images(images)
        with meter.measure(f"{name}: read footers"):
            done = folder.read_done(FINGERPRINT)
        with meter.measure(f"{name}: plan"):
            plan = plan_run(images, done, prune=True, previews=out)
        del done
        with plan.images:
            with meter.measure(f"{name}: remove stale rows"):
                folder.drop_rows(plan.stale)
            with meter.measure(f"{name}: label and write parts"):
                label(plan, folder)
            is_right = check_plan(plan, name, meter)
        with meter.measure(f"{name}: failures.jsonl"):
            folder.write_failures()
        folder.write_run_file({"fingerprint": FINGERPRINT, "categories": [{"id": 1, "name": "a"}]})
        with meter.measure(f"{name}: annotations.json"):
            totals = export_coco(out, out / "annotations.json")
        num_rows = len(folder.read_done(FINGERPRINT))
    return is_right and totals.images == num_rows == num_expected


def check_plan(plan: Plan, name: str, meter: Meter) -> bool:
    """Whether the plan has the counts that the pile was made with."""
    found = (plan.num_new, plan.num_changed, plan.num_pruned, plan.num_unchanged)
    if name == "first":
        return found == (meter.num_images, 0, 0, 0)
    num_same = meter.num_images - NUM_CHANGED - NUM_DELETED
    return found == (NUM_NEW, NUM_CHANGED, NUM_DELETED, num_same)


def label(plan: Plan, folder: OutputFolder) -> None:
    """Write a part for every 1,024 images: one object each, some empty and some failed."""
    dice = random.Random(0)
    objects = [(make_object("".join(dice.choices("0123456789LMNOabc", k=80))),) for _ in range(500)]
    remaining = iter(plan.images)
    while images := list(islice(remaining, PART_IMAGES)):
        rows = [make_row(image, dice.random(), dice.choice(objects)) for image in images]
        write_part(folder.parts_folder, rows, FINGERPRINT)


def make_object(counts: str) -> ObjectRecord:
    """Return an object with these run lengths."""
    return ObjectRecord(
        BoxRecord((1, 2, 31, 42), 0.6, "a"),
        bbox=(1, 2, 30, 40),
        category_id=1,
        category="a",
        score=0.5,
        margin=0.1,
        mask_score=0.9,
        area=800,
        segmentation={"size": [480, 640], "counts": counts},
        model_category="a",
        model_score=0.5,
    )


def make_row(image: ImageRecord, chance: float, objects: tuple[ObjectRecord]) -> LabelRecord:
    """Return what a labeller would have found."""
    if chance < 0.01:
        return LabelRecord.failed(image, "cannot decode: the file is damaged")
    return LabelRecord.labelled(image, 640, 480, objects if chance > 0.1 else ())


class Pile:
    """Made-up images: of no file, only listed.

    Args:
        folder: that they would lie in; made here, and stays empty.
        num_images: before `change`.
        num_folders: list them through the real walk of so many folders; None makes records.
    """

    def __init__(self, folder: Path, num_images: int, num_folders: int | None) -> None:
        folder.mkdir()
        self._folder = folder
        self._num_folders = num_folders
        self._numbers = range(num_images)
        self._changed: frozenset[int] = frozenset()
        self._deleted: frozenset[int] = frozenset()

    def change(self) -> None:
        """Add, change and delete images for a second run."""
        chosen = random.Random(1).sample(self._numbers, NUM_CHANGED + NUM_DELETED)
        self._changed = frozenset(chosen[:NUM_CHANGED])
        self._deleted = frozenset(chosen[NUM_CHANGED:])
        self._numbers = range(len(self._numbers) + NUM_NEW)

    def list(self) -> Iterable[ImageRecord]:
        """Return the images as a source gives them."""
        if self._num_folders is None:
            return self._make_records()
        tree.os = SimpleNamespace(**{**vars(os), "scandir": self._scan})  # type: ignore[assignment]
        return list_images([self._folder])

    def _make_records(self) -> Iterator[ImageRecord]:
        for number in self._numbers:
            if number not in self._deleted:
                name = f"batch_{number // 2000:05d}/img_{number:09d}.jpg"
                path = self._folder / name
                size, mtime_ns = self._describe(number)
                yield ImageRecord(compute_image_id(name), name, path, size, mtime_ns)

    def _describe(self, number: int) -> tuple[int, int]:
        """Return size and time."""
        return 50_000 + number * 7919 % 100_000, 10**18 + number * 10**6 + (number in self._changed)

    @contextmanager
    def _scan(self, path: Path) -> Iterator[list[FakeEntry]]:
        """Stand in for `os.scandir`: folders below the first, images in them."""
        assert self._num_folders
        folder = str(path)
        if path == self._folder:
            yield [FakeEntry(folder, f"batch_{i:06d}") for i in range(self._num_folders)]
            return
        index = int(re.findall(r"batch_(\d+)", folder)[-1])
        numbers = range(index, len(self._numbers), self._num_folders)
        yield [
            FakeEntry(folder, f"img_{number:09d}.jpg", self._describe(number))
            for number in numbers
            if number not in self._deleted
        ]


class FakeEntry:
    """What `os.scandir` gives, of a file or folder that is not there."""

    __slots__ = ("_state", "name", "path")

    def __init__(self, folder: str, name: str, state: tuple[int, int] | None = None) -> None:
        self.name = name
        self.path = f"{folder}/{name}"
        self._state = state

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._state is None

    def is_symlink(self) -> bool:
        """Whether it is a link: none is."""
        return False

    def stat(self) -> SimpleNamespace:
        """Return size and time."""
        assert self._state is not None
        return SimpleNamespace(st_size=self._state[0], st_mtime_ns=self._state[1])


class Meter:
    """Measures phases.

    Args:
        num_images: that times are divided by.
    """

    def __init__(self, num_images: int) -> None:
        self.num_images = num_images
        self.phases: dict[str, dict[str, float]] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Time a block, and find the most memory that the process had in it."""
        # Makes the kernel forget the peak; where it refuses, the peak so far is told.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        start_s = time.perf_counter()
        yield
        seconds = time.perf_counter() - start_s
        self.phases[name] = {
            "seconds": round(seconds, 2),
            "us_per_image": round(seconds / self.num_images * 1e6, 2),
            "peak_mb": round(read_peak_bytes() / _MB),
        }
        sys.stderr.write(f"{name}: {self.phases[name]}\n")


def read_peak_bytes() -> int:
    """Return the most memory since the kernel was told to forget, else since the start."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()

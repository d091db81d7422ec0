"""`ovsam report --html` on 2,000 images, and results of 1,203 classes: time, memory, size.

Pictures are parts of the example photos, so that they compress as photos do. The load of the
machine is printed: other work makes the clock slow.

    python benchmarks/ui/report.py --images 2000
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gallery import CHROMIUM, IS_PAINTED
from make_output import HEIGHT, PICTURES, WIDTH, make_output
from playwright.sync_api import Page, sync_playwright

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
CLASSES = 1203
TABLE_IS_THERE = "document.querySelectorAll('[data-testid=class-row]').length === 1203"
SORT = """async name => {
  const start = performance.now();
  [...document.querySelectorAll('.sort')].find(one => one.textContent === name).click();
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""


def main() -> None:
    """Print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        output = make_output(folder, given.images, 64)
        use_photos(folder / "photos" / "shared")
        file = run_report(output, folder / "labels.html")
        begin = time.perf_counter()
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_function(IS_PAINTED, polling="raf", timeout=120_000)
        show(f"labels of {given.images} images: first paint", begin)
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        print(f"  {heap:.0f} MB of JavaScript")
        measure_results(page, run_report(make_results(folder / "scores"), folder / "results.html"))
        browser.close()


def run_report(output: Path, file: Path) -> Path:
    """Run the command; print its time, memory and what it says."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "ovsam_pipeline", "report", str(output), "--html", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        print(process.stdout.read().strip().replace(f"{file.parent}/", ""))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    show("  the command", begin)
    cpu = used.ru_utime + used.ru_stime
    print(f"  processor {cpu:.1f} s, {used.ru_maxrss / 1024:.0f} MB at most")
    return file


def use_photos(folder: Path) -> None:
    """Put parts of the example photos in the place of the pictures."""
    rng = np.random.default_rng(0)
    photos = [cv2.imread(str(path)) for path in sorted(PHOTOS.iterdir()) if path.suffix != ".md"]
    for number in range(PICTURES):
        photo = photos[number % len(photos)]
        scale = max(WIDTH / photo.shape[1], HEIGHT / photo.shape[0]) * rng.uniform(1, 1.4)
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top = int(rng.integers(0, max(1, photo.shape[0] - HEIGHT)))
        left = int(rng.integers(0, max(1, photo.shape[1] - WIDTH)))
        part = photo[top : top + HEIGHT, left : left + WIDTH]
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), part)


def make_results(folder: Path) -> Path:
    """Write an evaluation of as many classes as LVIS has, with chance numbers."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    header = ["category_id", "name", "split", "frequency", "annotations", "segm_predictions"]
    header += ["segm_AP", "segm_AP50", "segm_AR"]
    with (folder / "per_class.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number in range(1, CLASSES + 1):
            rare = "novel" if number % 4 == 0 else "base"
            counts = rng.integers(1, 5000, 2).tolist()
            scores = rng.random(3).tolist()
            writer.writerow([number, f"class {number}", rare, "rcf"[number % 3], *counts, *scores])
    falling = np.sort(rng.random((CLASSES, 3, 101)), axis=2)[:, :, ::-1].astype(np.float32)
    names = ("precision_50", "precision_75", "precision")
    columns = {name: list(falling[:, place]) for place, name in enumerate(names)}
    fixed = {
        name: pa.array(values, pa.list_(pa.float32(), 101)) for name, values in columns.items()
    }
    recall = pa.array(
        list(rng.random((CLASSES, 10)).astype(np.float32)), pa.list_(pa.float32(), 10)
    )
    kinds = {"type": ["segm"] * CLASSES, "category_id": list(range(1, CLASSES + 1))}
    pq.write_table(pa.table({**kinds, **fixed, "recall": recall}), folder / "curves.parquet")
    metrics = {"dataset": {"name": "as LVIS"}, "protocol": {}, "metrics": {"segm": {"AP": 0.5}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def measure_results(page: Page, file: Path) -> None:
    """Measure the table of classes: until it is there, and until it is sorted anew."""
    begin = time.perf_counter()
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_function(TABLE_IS_THERE, polling="raf", timeout=60_000)
    show(f"results of {CLASSES} classes: until the table is there", begin)
    for name in ("Mask AP", "Class"):
        print(f"  sorted by {name}: {page.evaluate(SORT, name):.0f} ms")


def show(what: str, begin: float) -> None:
    """Print how long something took."""
    print(f"{what}: {time.perf_counter() - begin:.2f} s", flush=True)


if __name__ == "__main__":
    main()

"""How long a click takes, from the request over HTTP to the answer with its outline.

    python benchmarks/ui/click.py [--model nano] [--images examples/scenes] [--clicks 100]

Starts `ovsam demo`, opens some images, and clicks at random places, one after another. Printed are
medians and 95th percentiles: of the whole click as the client sees it, of the networks' part as
the server reports it, and of the difference, which is what the page adds (goal: 150 ms at p95). The
processor time of the server stands beside the wall time: on a busy machine the first tells more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")


def ask(address: str, name: str, **given: Any) -> dict[str, Any]:
    """Send a request of the page and return its answer."""
    request = urllib.request.Request(
        f"{address}api/{name}",
        json.dumps(given).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def read_processor_s(process: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def click(address: str, process: int, images: int, clicks: int) -> None:
    """Click at random places of the first images and print the times."""
    random = np.random.default_rng(7)
    opened = [ask(address, "open", row=row) for row in range(images)]
    whole, networks, processor = [], [], []
    for number in range(clicks + images):
        image = opened[number % images]
        point = [random.uniform(0, image["width"]), random.uniform(0, image["height"]), 1]
        before_s, start_s = read_processor_s(process), time.perf_counter()
        found = ask(address, "predict", row=image["row"], points=[point])
        if number < images:  # the first click on an image fills caches
            continue
        whole.append(time.perf_counter() - start_s)
        networks.append(found["model_seconds"])
        processor.append(read_processor_s(process) - before_s)
    rest = np.array(whole) - np.array(networks)
    print(f"{'milliseconds':24} {'p50':>8} {'p95':>8}")
    for name, values in (
        ("click to answer", whole),
        ("of it the networks", networks),
        ("of it all else", rest),
        ("processor time", processor),
    ):
        low, high = 1000 * np.quantile(values, (0.5, 0.95))
        print(f"{name:24} {low:8.1f} {high:8.1f}")
    print(f"opening an image: median {np.median([one['seconds'] for one in opened]):.2f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--images", default="examples/scenes")
    parser.add_argument("--count", type=int, default=8, help="images to open")
    parser.add_argument("--clicks", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ovsam", "demo", given.images, "--no-open"]
        command += ["--model", given.model, "-o", f"{folder}/labels"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            load = os.getloadavg()[0]
            print(f"{given.model}, {given.images}: {given.clicks} clicks; load {load:.1f}")
            click(address, server.pid, given.count, given.clicks)
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()

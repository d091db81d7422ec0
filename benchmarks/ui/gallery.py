"""`ovsam view` on a large output, in Chromium: start, first paint, scrolling, filters, memory.

Makes the output where it is not there (`make_output.py`). Processor seconds stand beside those of
the clock, as other work on the machine makes the clock slow; its load is printed.

    python benchmarks/ui/gallery.py --images 100000
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from make_output import make_output
from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("OVSAM_CHROMIUM", "/usr/bin/chromium")
PLACES = (0.5, 0.25, 0.9, 0.6, 0.1)
# All cards in the window have their picture and, where the index says so, their masks.
IS_PAINTED = """() => {
  const cards = [...document.querySelectorAll('[data-testid=card]')].filter(card => {
    const box = card.getBoundingClientRect();
    return box.bottom > 0 && box.top < innerHeight;
  });
  return cards.length > 3 && cards.every(card => {
    if (card.querySelector('[data-testid=card-error]')) return true;
    const image = card.querySelector('img');
    const isNamed = !card.textContent.startsWith('…');
    return isNamed && image !== null && image.complete && image.naturalWidth > 0;
  });
}"""
# What the window takes to answer a change: until the counts are others and a frame was drawn.
CHANGE = """async ([selector, value]) => {
  const counts = document.querySelector('[data-testid=counts]');
  const before = counts.textContent;
  const start = performance.now();
  const element = document.querySelector(selector);
  if (value === null) element.click();
  else {
    element.value = value;
    element.dispatchEvent(new Event('input', {bubbles: true}));
    element.dispatchEvent(new Event('change', {bubbles: true}));
  }
  while (counts.textContent === before && performance.now() - start < 20000)
    await new Promise(done => requestAnimationFrame(done));
  await new Promise(done => requestAnimationFrame(done));
  return performance.now() - start;
}"""


def main() -> None:
    """Print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--part-images", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="Where the output is kept for another time.")
    parser.add_argument("--shots", type=Path, help="Folder for screenshots.")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    output = folder / "out"
    if not output.exists():
        make_output(folder, given.images, given.part_images)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    begin = time.perf_counter()
    command = (sys.executable, "-m", "ovsam_pipeline", "view", str(output), "--no-open")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            address = server.stdout.readline().strip()
            show("address printed", time.perf_counter() - begin, read_processor_s(server.pid))
            print(f"server: {read_memory_mb(server.pid):.0f} MB once started")
            measure_page(address, server.pid, given.shots)
        finally:
            server.send_signal(signal.SIGINT)


def measure_page(address: str, server: int, shots: Path | None) -> None:
    """Measure one visit."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for visit in ("first visit", "second visit"):
            measure(f"first paint, {visit}", server, lambda: open_page(page, address))
        keep(page, shots, "first")
        print(f"  of that in the browser: {page.evaluate(FIRST_BYTES)}")
        for place in PLACES:
            measure(f"jump to {place:.0%}", server, lambda place=place: jump(page, place))
        keep(page, shots, "jumped")
        measure_scrolling(page)
        page.evaluate("scrollTo(0, 0)")
        for name, selector, value in (
            ("class", "[data-testid=class-row] input", None),
            ("no class", "[data-testid=class-row] input", None),
            ("risk from .5", "[data-testid=risk-lowest]", "0.5"),
            ("risk from 0", "[data-testid=risk-lowest]", "0"),
        ):
            milliseconds = page.evaluate(CHANGE, [selector, value])
            print(f"filter by {name}: {milliseconds:.0f} ms")
        keep(page, shots, "filtered")
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        print(f"page: {heap:.0f} MB of JavaScript, {measure_renderers_mb():.0f} MB its process")
        print(f"server: {read_memory_mb(server):.0f} MB in the end")
        browser.close()


FIRST_BYTES = """() => Object.fromEntries(performance.getEntriesByType('resource')
  .filter(entry => /api.index|ovsam.js|api.images/.test(entry.name)).slice(0, 4)
  .map(entry => [entry.name.split('/').pop().slice(0, 16), Math.round(entry.responseEnd) + ' ms']))
"""


def open_page(page: Page, address: str) -> None:
    """Go to the page; return when all cards in view are drawn."""
    page.goto("about:blank")
    page.goto(address, wait_until="commit")
    page.wait_for_function(IS_PAINTED, polling="raf", timeout=120_000)


def jump(page: Page, place: float) -> None:
    """Go to a part of the grid; return when all cards in view are drawn."""
    page.evaluate("place => scrollTo(0, place * document.documentElement.scrollHeight)", place)
    page.wait_for_function(IS_PAINTED, polling="raf", timeout=60_000)


def measure_scrolling(page: Page) -> None:
    """Print the frames while the page scrolls by 60 steps of 300 pixels, one a frame."""
    times = page.evaluate("""async () => {
      const times = []; let last = performance.now();
      for (let step = 0; step < 60; step++) {
        scrollBy(0, 300);
        await new Promise(done => requestAnimationFrame(done));
        const now = performance.now(); times.push(now - last); last = now;
      }
      return times.sort((a, b) => a - b);
    }""")
    print(
        f"scrolling: {times[len(times) // 2]:.0f} ms a frame (median), {times[-1]:.0f} ms at most"
    )


def measure(what: str, server: int, do: Callable[[], None]) -> None:
    """Do something, and print how long it and the server's processor took."""
    begin, used, browser_s = time.perf_counter(), read_processor_s(server), read_browser_s()
    do()
    seconds, processor_s = time.perf_counter() - begin, read_processor_s(server) - used
    show(what, seconds, processor_s, read_browser_s() - browser_s)


def show(what: str, seconds: float, processor_s: float, browser_s: float = 0.0) -> None:
    """Print one time."""
    used = f"server's processor {processor_s:.2f} s, browser's {browser_s:.2f} s"
    print(f"{what}: {seconds:.2f} s ({used})", flush=True)


def keep(page: Page, shots: Path | None, name: str) -> None:
    """Keep a screenshot where a folder was given."""
    if shots is not None:
        page.screenshot(path=shots / f"gallery_{name}.png")


def read_processor_s(pid: int) -> float:
    """Return the processor seconds of a process and of those it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def measure_renderers_mb() -> float:
    """Return the resident memory of the largest renderer of the Chromium that we started."""
    return max(read_memory_mb(pid) for pid, command in list_browser() if b"renderer" in command)


def read_browser_s() -> float:
    """Return the processor seconds of all processes of the Chromium that we started."""
    return sum(read_processor_s(pid) for pid, _ in list_browser())


def list_browser() -> list[tuple[int, bytes]]:
    """Return the processes of the Chromium that we started, with their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if b"chrom" in command and is_ours(int(folder.name)):
                found.append((int(folder.name), command))
        except OSError:  # it has ended
            continue
    return found


def is_ours(pid: int) -> bool:
    """Whether a process descends from this one."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


if __name__ == "__main__":
    main()

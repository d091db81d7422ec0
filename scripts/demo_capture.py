"""Record a session of `ovsam demo` as an animated picture, for README and docs/demo.md.

python scripts/demo_capture.py docs/images/demo.webp

It starts the demo on two example photographs with the embedded model `photo`, in a temporary
folder, and uses the page in a headless Chromium (OVSAM_CHROMIUM, else /usr/bin/chromium). A frame
is a screenshot with the pointer drawn in; frames that look the same become one. The
steps are scripted and waits are cut; masks, names, scores and the times shown are those of the run.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect, sync_playwright

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"
# In the order of the demo: by name.
NAMES = ("coffee.png", "rocket.jpg")
SIZE = {"width": 1080, "height": 660}
WIDTH = 900
QUALITY = 60
MOST_BYTES = 1_500_000
STEP_MS, PAUSE_MS, END_MS = 90, 500, 1200
# An arrow in 16 x 24 pixels, its tip at the upper left.
ARROW = [(0, 0), (0, 19), (4.5, 15), (7.5, 22), (10.5, 20.7), (7.6, 14), (13.5, 14)]
OVERSAMPLING = 4


class Recorder:
    """Screenshots of a page, each with the pointer and how long it is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pointer = (SIZE["width"] * 0.8, SIZE["height"] * 0.85)
        self.frames: list[tuple[Image.Image, int]] = []

    def shoot(self, milliseconds: int = STEP_MS) -> None:
        """Add a frame, or let the last one stay longer where nothing has changed."""
        frame = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        draw_arrow(frame, self._pointer)
        if self.frames and self.frames[-1][0].tobytes() == frame.tobytes():
            self.frames[-1] = (frame, self.frames[-1][1] + milliseconds)
        else:
            self.frames.append((frame, milliseconds))

    def move(self, x: float, y: float, steps: int = 6) -> None:
        """Move the pointer in equal steps, a frame for each."""
        left, top = self._pointer
        for step in range(1, steps + 1):
            share = step / steps
            self._pointer = (left + (x - left) * share, top + (y - top) * share)
            self._page.mouse.move(*self._pointer)
            self.shoot()

    def click(self) -> None:
        """Click where the pointer is."""
        self._page.mouse.click(*self._pointer)

    def drag(self, x: float, y: float) -> None:
        """Drag from the pointer to a place."""
        self._page.mouse.down()
        self.move(x, y)
        self._page.mouse.up()


def draw_arrow(frame: Image.Image, place: tuple[float, float]) -> None:
    """Draw a pointer: white with a black rim, as most systems have it."""
    side = 32
    arrow = Image.new("RGBA", (side * OVERSAMPLING, side * OVERSAMPLING))
    corners = [((x + 2) * OVERSAMPLING, (y + 2) * OVERSAMPLING) for x, y in ARROW]
    ImageDraw.Draw(arrow).polygon(corners, "white", "black", width=OVERSAMPLING + 1)
    arrow = arrow.resize((side, side), Image.Resampling.LANCZOS)
    frame.paste(arrow, (round(place[0]) - 2, round(place[1]) - 2), arrow)


def play(page: Page, recorder: Recorder) -> None:
    """Use the page as a person would: look around, click, accept, draw a box, accept."""
    accepted = page.get_by_test_id("accepted-object")
    wait_for_image(page, NAMES[0])
    recorder.shoot(PAUSE_MS)

    # A cup: a preview below the pointer, a click, the better one of its names.
    recorder.move(*place(page, 0.45, 0.55), steps=8)
    expect(page.get_by_test_id("hover-name")).to_be_visible()
    recorder.shoot(PAUSE_MS)
    recorder.click()
    show_mask(page, recorder)
    recorder.move(*middle(page.get_by_test_id("name").get_by_text("cup", exact=True)))
    recorder.click()
    recorder.shoot(PAUSE_MS)
    accept(page, recorder)
    expect(accepted).to_have_count(1)

    # A spoon: a box, and a name that is typed.
    recorder.move(*place(page, 0.54, 0.60))
    recorder.drag(*place(page, 0.71, 0.84))
    show_mask(page, recorder)
    page.get_by_test_id("rename").fill("spoon")
    recorder.shoot()
    page.keyboard.press("Enter")
    recorder.shoot(PAUSE_MS)
    accept(page, recorder)
    expect(accepted).to_have_count(2)

    # The next image: a rocket.
    page.keyboard.press("n")
    wait_for_image(page, NAMES[1])
    recorder.shoot()
    recorder.move(*place(page, 0.50, 0.45))
    recorder.click()
    show_mask(page, recorder)
    accept(page, recorder)
    expect(accepted).to_have_count(1)
    recorder.shoot(END_MS)


def show_mask(page: Page, recorder: Recorder) -> None:
    """Wait for the mask of a prompt and show it for a while."""
    expect(page.get_by_test_id("current-mask").locator("path")).to_have_count(2)
    page.wait_for_timeout(100)  # the latency is written after the mask
    recorder.shoot(PAUSE_MS)


def accept(page: Page, recorder: Recorder) -> None:
    """Accept the current object by the key."""
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("current-mask").locator("path")).to_have_count(0, timeout=60_000)
    recorder.shoot(PAUSE_MS)


def middle(element: Locator) -> tuple[float, float]:
    """Return the page's place of the middle of an element."""
    box = element.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def wait_for_image(page: Page, name: str) -> None:
    """Wait until an image is open: its size is shown then."""
    expect(page.get_by_test_id("file-name")).to_have_text(name, timeout=60_000)
    expect(page.get_by_test_id("file-size")).not_to_be_empty(timeout=60_000)
    page.locator(".demo .picture").evaluate("picture => picture.decode()")


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return the page's place of a point of the image, given as shares of its sides."""
    box = page.locator(".demo .picture-frame").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def record(address: str) -> list[tuple[Image.Image, int]]:
    """Return the frames of a session at the address of a demo."""
    chromium = os.environ.get("OVSAM_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        recorder = Recorder(page)
        play(page, recorder)
        browser.close()
    return recorder.frames


def write(frames: list[tuple[Image.Image, int]], target: Path) -> None:
    """Write an animated WebP that repeats for ever."""
    size = WIDTH, round(WIDTH * SIZE["height"] / SIZE["width"])
    pictures = [frame.resize(size, Image.Resampling.LANCZOS) for frame, _ in frames]
    durations = [milliseconds for _, milliseconds in frames]
    options = {"quality": QUALITY, "method": 6, "minimize_size": True, "loop": 0}
    pictures[0].save(
        target, save_all=True, append_images=pictures[1:], duration=durations, **options
    )
    seconds, num_bytes = sum(durations) / 1000, target.stat().st_size
    sys.stdout.write(
        f"{target}: {len(frames)} frames, {seconds:.1f} s, {num_bytes / 1000:,.0f} kB\n"
    )
    if num_bytes > MOST_BYTES:
        sys.exit(f"expected at most {MOST_BYTES:,} bytes; lower QUALITY or WIDTH")


def main(target: Path) -> None:
    """Start the demo on copies of the photographs, record, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "photos").mkdir()
        for name in NAMES:
            shutil.copy(PHOTOS / name, Path(folder) / "photos")
        command = [sys.executable, "-m", "ovsam_pipeline", "demo", "photos", "-o", "labels"]
        command += ["--model", "photo", "--no-open"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as demo:
            assert demo.stdout is not None
            try:
                frames = record(demo.stdout.readline().strip())
            finally:
                demo.terminate()
    write(frames, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

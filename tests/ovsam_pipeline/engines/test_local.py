"""The local engine with an image at which the detector stands still."""

import threading
import time

import pyarrow.parquet as pq
import pytest
from fake_labeller import make_labeller, write_images

from ovsam_pipeline.engines import local
from ovsam_pipeline.errors import ShardError
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.runs.run import run_labelling
from ovsam_pipeline.settings.label import LabelConfig


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """Settings of a run whose third image hangs."""
    monkeypatch.setattr(local, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(local, "_LEAVE_S", 0.1)
    # Libraries are loaded by the first image of a process.
    write_images(tmp_path / "first", 1)
    run_labelling(LabelConfig(sources=(str(tmp_path / "first"),)), tmp_path / "o", make_labeller)
    names = ["0.png", "1.png", "2_hang.png", "3.png", "4.png"]
    write_images(tmp_path / "images", 0, names)
    return lambda **settings: LabelConfig(
        sources=(str(tmp_path / "images"),), detector="fake", engine="local", **settings
    )


def count_rows(output) -> int:
    return sum(pq.read_metadata(part).num_rows for part in (output / "parts").glob("*.parquet"))


def test_image_that_hangs_ends_the_run_and_comes_last_in_the_next(hanging, tmp_path, caplog):
    config, output = hanging(image_timeout=1.0), tmp_path / "out"
    with pytest.raises(ShardError, match=r"no image was finished for 1 s: 2_hang\.png.* is kept"):
        run_labelling(config, output, make_labeller)
    assert count_rows(output) == 2
    with pytest.raises(ShardError, match=r"no image was finished for 2 s: 2_hang\.png\. What"):
        run_labelling(config, output, make_labeller)
    summary = run_labelling(config, output, make_labeller).summary
    reason = "its worker died while it was labelled alone: it did not end within 2 s"
    assert (summary.outcome, summary.reasons) == ("finished", {reason: 1})
    assert count_rows(output) == 5
    assert "2_hang.png was alone in hand, and becomes a failed row" in caplog.text


def test_stop_ends_a_run_with_an_image_that_hangs_and_old_rows_are_committed(
    hanging, tmp_path, monkeypatch
):
    monkeypatch.setattr(local, "_STOP_S", 0.2)
    stop = StopRequest()
    seen = []

    def ask_later():
        until_s = time.monotonic() + 20
        while not count_rows(tmp_path / "out") and time.monotonic() < until_s:
            time.sleep(0.02)
        seen.append(count_rows(tmp_path / "out"))
        stop.request("time limit")

    class Stopping:
        def __enter__(self):
            threading.Thread(target=ask_later).start()
            return stop

        def __exit__(self, *error):
            pass

    config = hanging(part_seconds=0.1)
    result = run_labelling(config, tmp_path / "out", make_labeller, Stopping())
    assert (result.summary.outcome, result.summary.labelled) == ("time limit", 2)
    assert seen == [2]

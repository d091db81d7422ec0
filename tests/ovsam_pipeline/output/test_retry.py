"""`label --retry-failed OUT` that is cut off: the same command goes on, no image is forgotten."""

import json

import pytest
from fake_labeller import make_labeller, write_images

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import RETRYING_FILE, OutputFolder, iterate_rows
from ovsam_pipeline.runs.run import run_labelling
from ovsam_pipeline.settings.label import LabelConfig


class Stopped:
    """A run that is asked to end before its first image."""

    def __enter__(self) -> StopRequest:
        stop = StopRequest()
        stop.request("interrupted")
        return stop

    def __exit__(self, *error) -> None:
        return None


def fill(tmp_path, *, stopping=None, **changes):
    config = LabelConfig(
        sources=(str(tmp_path / "in"),), output=str(tmp_path / "out"), detector="fake", **changes
    )
    return run_labelling(config, tmp_path / "out", make_labeller, stopping)


@pytest.fixture
def failed_output(tmp_path):
    """Twelve images that failed, and are mended since; three that did not."""
    write_images(tmp_path / "in", 15)
    good = {path: path.read_bytes() for path in sorted((tmp_path / "in").iterdir())[:12]}
    for path in good:
        path.write_bytes(b"no picture")
    first = fill(tmp_path)
    assert (first.summary.failed, first.summary.labelled) == (12, 3)
    for path, content in good.items():
        path.write_bytes(content)
    return tmp_path


AGAIN = {"only_failed": True, "retry_failed": True}


def test_retry_that_was_stopped_at_once_goes_on(failed_output):
    stopped = fill(failed_output, stopping=Stopped(), **AGAIN)
    assert stopped.summary.left == 12
    second = fill(failed_output, **AGAIN)
    assert (second.summary.labelled, second.summary.left) == (12, 0)
    rows = {row["file_name"]: row["status"] for row in iterate_rows(failed_output / "out")}
    assert set(rows.values()) == {"labelled"}
    assert len(rows) == 15
    assert not (failed_output / "out" / RETRYING_FILE).exists()


def test_images_that_got_a_row_meanwhile_are_left_alone(failed_output):
    fill(failed_output, stopping=Stopped(), **AGAIN)
    assert fill(failed_output).summary.labelled == 12
    assert fill(failed_output, **AGAIN).summary.done == 0


def test_list_that_cannot_be_read_is_named(tmp_path):
    with OutputFolder(tmp_path) as folder:
        folder.start_retry(["b", "a"])
        assert json.loads((tmp_path / RETRYING_FILE).read_text()) == ["a", "b"]
        assert folder.read_failed() == {"a", "b"}
        (tmp_path / RETRYING_FILE).write_text("{")
        with pytest.raises(OutputError, match=r"retrying\.json, the images of a retry"):
            folder.read_failed()

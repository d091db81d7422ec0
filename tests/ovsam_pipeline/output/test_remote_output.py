"""Whole runs into S3 (moto's server in a process of its own), quiet and with what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from fake_labeller import FakeDetector, make_box_finder, make_labeller, write_images
from locations import DOUBLES, ROOT
from s3_server import Fault, FaultProxy

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.monitoring.exit_codes import exit_code_of
from ovsam_pipeline.output import folder as store
from ovsam_pipeline.output.folder import iterate_rows, list_parts, read_run_file
from ovsam_pipeline.output.lock import take_lock
from ovsam_pipeline.runs import api
from ovsam_pipeline.storage.remote_path import RemotePath

PROGRAM = DOUBLES / "fake_labeller.py"


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    monkeypatch.setattr(builders, "build_box_finder", make_box_finder)


@pytest.fixture
def images(tmp_path) -> Path:
    write_images(tmp_path / "in", 6)
    return tmp_path / "in"


@pytest.fixture
def source(s3, images) -> str:
    """The same images in the bucket."""
    for file in images.iterdir():
        s3.put(f"in/{file.name}", file.read_bytes())
    return f"{s3.uri}/in"


def label(source, output, **settings) -> api.LabelResult:
    return api.label(source, output=output, **{"part_images": 2, **settings})


def read_rows(output) -> list[dict]:
    return sorted(iterate_rows(output), key=lambda row: row["file_name"])


def read_coco(result: api.LabelResult) -> dict:
    """The COCO file in the order of ids: in the file it is that of parts, named after places."""
    coco = json.loads(result.annotations.read_text())
    del coco["ovsam"]  # the hash of the file, so of this order
    lists = ("images", "annotations")
    return coco | {name: sorted(coco[name], key=lambda item: item["id"]) for name in lists}


def count_changes(result: api.LabelResult) -> tuple[int, int, int]:
    plan = result.plan
    return plan.num_new, plan.num_changed, plan.num_unchanged


# Quiet runs


def test_output_on_a_store_equals_that_in_a_folder(s3, images, source, tmp_path):
    local = label(images, tmp_path / "out")
    for name, origin in (("a", images), ("b", source)):
        remote = label(origin, f"{s3.uri}/{name}", preview=2)
        assert remote.exit_code == 0
        assert read_rows(remote.output) == read_rows(local.output)
        assert read_coco(remote) == read_coco(local)
        assert len(remote.previews) == len(list((remote.output / "preview").iterdir())) == 2
        keys = [key for key in s3.list_keys() if key.startswith(f"{name}/") and key != f"{name}/"]
        kinds = {"annotations.json", "failures.jsonl", "run.json", "status.json"}
        assert {key.split("/")[1] for key in keys} == kinds | {"parts", "preview"}


def test_second_run_labels_what_changed(s3, images):
    out = f"{s3.uri}/deep/out"
    assert count_changes(label(images, out)) == (6, 0, 0)
    assert count_changes(label(images, out)) == (0, 0, 6)
    first = sorted(images.iterdir())[0]
    write_images(images.parent / "other", 9)
    first.write_bytes(sorted((images.parent / "other").iterdir())[8].read_bytes())
    write_images(images, 1, ["new.png"])
    result = label(images, out)
    assert count_changes(result) == (1, 1, 5)
    names = [row["file_name"] for row in iterate_rows(result.output)]
    assert len(names) == len(set(names)) == 7
    first.unlink()
    result = label(images, out, prune=True)
    assert result.plan.num_pruned == 1
    assert len(json.loads(result.annotations.read_text())["images"]) == 6
    result = label(images, out, on_existing="overwrite")
    assert count_changes(result) == (6, 0, 0)


def test_boxes_on_a_store_are_a_detector(s3, source):
    boxes = api.detect(source, output=f"{s3.uri}/boxes")
    table = labeller_detector(f"boxes:{boxes.output}")
    assert table.class_names == ("cat", "wolf")
    assert len(read_rows(boxes.output)) == 6


def labeller_detector(spec: str):
    from ovsam_pipeline.detectors.build import build_detector

    return build_detector(spec, conf=0.1, max_det=10)


def test_failed_images_are_tried_again_by_the_output_alone(s3, source):
    s3.put("in/bad.png", b"no image")
    out = f"{s3.uri}/out"
    result = label(source, out)
    assert result.exit_code == 3
    (failure,) = (result.output / "failures.jsonl").read_text().splitlines()
    assert json.loads(failure)["file_name"] == "bad.png"
    good = next(key for key in s3.list_keys() if key.startswith("in/") and "bad" not in key)
    s3.put("in/bad.png", RemotePath(f"{s3.uri}/{good}").read_bytes())
    again = api.label(out, retry_failed=True)
    assert (again.summary.done, again.exit_code) == (1, 0)
    assert (again.output / "failures.jsonl").read_bytes() == b""
    assert len(read_rows(again.output)) == 7


def test_output_inside_the_source_is_no_source(s3, source):
    out = f"{source}/out"
    assert count_changes(label(source, out, preview=2)) == (6, 0, 0)
    assert count_changes(label(source, out, preview=2)) == (0, 0, 6)


# What is wrong is said at the start


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("s3://no-such-bucket-here/out", "cannot use .*no bucket no-such-bucket-here; make it"),
        ("{uri}/in", "is one of the sources"),
        ("{uri}/in/", "is one of the sources"),
        ("{uri}/file", "expected a folder as -o, got the file .*/file"),
        ("https://host/out", "expected a folder or a writable address"),
        ("nosuch://host/out", "expected an address that begins with s3://, .*, got nosuch://"),
        ("s3://", "expected an address like s3://bucket/folder"),
    ],
)
def test_output_that_cannot_be_is_refused(s3, source, out, reason):
    s3.put("file", b"x")
    with pytest.raises(ConfigError, match=reason) as caught:
        label(source, out.format(uri=s3.uri))
    assert exit_code_of(caught.value) == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "AccessDenied"])
def test_refused_login_is_said_before_anything_slow(s3, images, monkeypatch, code):
    monkeypatch.delattr(builders, "build_labeller")
    monkeypatch.setattr(builders, "build_labeller", None, raising=False)
    s3.proxy.faults.append(Fault("status", status=403, code=code))
    with pytest.raises(ConfigError, match=r"^cannot use s3://.*AWS_ACCESS_KEY_ID") as caught:
        label(images, f"{s3.uri}/out")
    assert exit_code_of(caught.value) == 2


# One run at a time


def test_held_output_is_refused_and_left_alone(s3, images):
    out = RemotePath(f"{s3.uri}/out")
    lock = take_lock(out)
    with pytest.raises(OutputLockedError, match=r"by process \d+ on .*, or in 120 s if") as caught:
        label(images, str(out))
    assert exit_code_of(caught.value) == 75
    lock.close()
    assert list_parts(out) == []
    assert label(images, str(out)).exit_code == 0


def test_lost_lease_stops_the_run_before_its_next_commit(s3, images, monkeypatch):
    out = RemotePath(f"{s3.uri}/out")

    class Robber(FakeDetector):
        def detect(self, found):
            if "0003" in found[0][0].file_name or (self.batches and len(self.batches) == 3):
                for lease in out.glob(".lock-*"):
                    lease.unlink()
                time.sleep(1.0)
            return super().detect(found)

    monkeypatch.setattr(builders, "build_labeller", partial(make_labeller, detector=Robber()))
    monkeypatch.setattr(store, "take_lock", partial(take_lock, lease_s=3.0))
    with pytest.raises(OutputError, match=r"the lease on s3://.* run the same command again"):
        label(images, str(out), workers=1)
    assert 1 <= len(list_parts(out)) <= 2
    assert read_run_file(out)["state"] == "running", "what it says now is for the other run"
    assert "out/failures.jsonl" not in s3.list_keys()


# What goes wrong on the way


def check_quiet(proxy: FaultProxy, source: str, out: str, *faults: Fault) -> None:
    """Label with faults; every image is there once and the rows are those of a quiet run."""
    quiet = label(source, f"{out}-quiet")
    proxy.faults.extend(faults)
    result = label(source, out)
    assert all(fault.hits for fault in faults)
    proxy.faults.clear()
    assert result.exit_code == 0
    assert read_rows(result.output) == read_rows(quiet.output)


def test_errors_of_the_store_are_waited_out(s3, source):
    faults = [
        Fault("status", "/in/", times=2, status=500, methods=("GET",)),
        Fault("status", "out/parts/part-", times=2, status=503, methods=("PUT",)),
        Fault("status", "out/.lock", times=1, status=500, methods=("PUT",)),
        Fault("status", "out/run.json", times=1, status=500),
        Fault("slow", "/in/", times=2, seconds=0.4, methods=("GET",)),
        Fault("reset", "/in/", times=1, methods=("GET",)),
    ]
    check_quiet(s3.proxy, source, f"{s3.uri}/out", *faults)


def test_object_that_vanished_after_listing_is_a_failed_row(s3, source):
    gone = sorted(key for key in s3.list_keys() if key.startswith("in/"))[2]
    s3.proxy.faults.append(Fault("status", f"/{gone}", status=404, methods=("GET", "HEAD")))
    result = label(source, f"{s3.uri}/out")
    assert result.exit_code == 3
    rows = read_rows(result.output)
    assert len(rows) == 6
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert failed["file_name"] == gone.removeprefix("in/")
    assert failed["error"].startswith("file not found")


@pytest.mark.slow
def test_store_that_stays_broken_ends_the_run_with_one_sentence(s3, images):
    s3.proxy.faults.append(Fault("status", "parts/part-", status=500, methods=("PUT", "POST")))
    with pytest.raises(
        OutputError, match=r"^cannot write .*part-.*\.parquet: .*INTERNAL_FAILURE"
    ) as caught:
        label(images, f"{s3.uri}/out")
    assert exit_code_of(caught.value) == 1
    s3.proxy.faults.clear()
    assert count_changes(label(images, f"{s3.uri}/out")) == (6, 0, 0)


@pytest.fixture
def start():
    """Start runs as processes; what is left of them at the end of the test is ended."""
    with ExitStack() as stack:
        yield partial(start_run, stack)


def start_run(stack: ExitStack, *arguments: str, **environment: str) -> subprocess.Popen:
    run = subprocess.Popen(
        [sys.executable, str(PROGRAM), "label", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    stack.enter_context(run)
    stack.callback(run.kill)
    return run


@pytest.mark.slow
def test_killed_run_is_gone_on_with_once_its_lease_ran_out(s3, tmp_path, start):
    write_images(tmp_path / "in", 30)
    out = RemotePath(f"{s3.uri}/out")
    command = [str(tmp_path / "in"), "-o", str(out), "--part-images", "3"]
    settings = {"FAKE_LEASE_S": "4", "FAKE_SECONDS": "1"}
    run = start(*command, **settings)
    while len(list_parts(out)) < 3:
        assert run.poll() is None
        time.sleep(0.05)
    # A second run beside it is refused, and says so in one sentence.
    other = start(*command, **settings)
    _, said = other.communicate(timeout=60)
    assert other.returncode == 75
    assert f"is being written by process {run.pid} on" in said
    assert len(said.splitlines()) == 2
    run.send_signal(signal.SIGKILL)
    run.communicate()
    time.sleep(7)
    again = start(*command, FAKE_LEASE_S="4")
    printed, said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert "were labelled before and did not change" in printed
    names = [row["file_name"] for row in iterate_rows(out)]
    assert len(names) == len(set(names)) == 30
    assert [key for key in s3.list_keys() if ".lock-" in key] == []


@pytest.mark.slow
def test_two_runs_that_start_together_label_each_image_once(s3, tmp_path, start):
    write_images(tmp_path / "in", 10)
    out = RemotePath(f"{s3.uri}/out")
    command = [str(tmp_path / "in"), "-o", str(out), "--part-images", "2"]
    runs = [start(*command, FAKE_SECONDS="0.3") for _ in range(2)]
    for run in runs:
        run.communicate(timeout=120)
    codes = sorted(run.returncode for run in runs)
    # Mostly one is refused; where its last try comes after the other's end, it finds nothing to do.
    assert codes in ([0, 75], [0, 0], [75, 75])
    assert label(tmp_path / "in", str(out)).exit_code == 0
    names = [row["file_name"] for row in iterate_rows(out)]
    assert len(names) == len(set(names)) == 10

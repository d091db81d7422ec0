"""`ovsam view`: what it refuses, and that it starts, here with an output and an evaluation."""

import json
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
from reviewed_rows import make_labelled, make_row, write_output


@pytest.fixture
def output(tmp_path):
    return write_output(tmp_path / "out", make_row("a.jpg", make_labelled((5, 6, 10, 20))))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "expected an output folder of ovsam label"),
        ("truth.json", "--detector gt:"),
        ("https://example.org/out", "writable address"),
    ],
)
def test_what_is_no_output_is_refused(run_command, tmp_path, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    found = run_command("view", name)
    assert (found.code, sentence in found.err) == (2, True)


def test_audit_says_where_its_labels_are(run_command, tmp_path, output):
    output.rename(tmp_path / "found")
    found = run_command("view", str(tmp_path))
    assert (found.code, f"ovsam view {tmp_path}/found" in found.err) == (2, True)


def test_labels_and_boxes_are_not_compared(run_command, tmp_path, output):
    boxes = write_output(tmp_path / "boxes", task="detect")
    found = run_command("view", str(output), str(boxes))
    assert (found.code, "outputs of one kind" in found.err) == (2, True)


def test_server_starts_without_networks_and_ends_with_ctrl_c(output):
    code = (
        "import sys; from ovsam_pipeline.cli import main\n"
        "from ovsam_pipeline.ui import server\n"
        "serve = server.serve\n"
        "def check(*given, **named):\n"
        "    print(sorted({'torch', 'ray', 'matplotlib'} & sys.modules.keys()), flush=True)\n"
        "    serve(*given, **named)\n"
        "server.serve = check\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "view", str(output), "--no-open"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "[]\n"
        address = server.stdout.readline().strip()
        page = urlopen(address).read().decode()
        start = json.loads(re.search(r'id="start">(.*?)</script>', page)[1])
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=30)
    assert (start["images"], start["objects"], start["can_answer"]) == (1, 1, True)
    assert (server.returncode, "1 image, 1 object" in told) == (130, True)
    assert "no pictures: " in told
    assert told.endswith(f"no answers were given; {output} is as it was\n")
    assert f"ovsam view {output} --source NEW_PLACE" in told

"""stdout and stderr that are closed, full, left by their reader, or poor in letters."""

import json
import os
import subprocess
import sys

import pytest
from fake_labeller import write_images
from locations import ROOT

from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.terminal.streams import escape_json, show_controls

COMMAND = f"{sys.executable} -c 'from ovsam_pipeline.cli import main; main()'"
FAKE = f"{sys.executable} {ROOT}/tests/doubles/fake_labeller.py"


def run_shell(line, **environment):
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("end", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "it is closed")],
)
@pytest.mark.parametrize("command", ["--version", "--help"])
def test_result_that_cannot_be_written_is_an_error(command, end, reason):
    found = run_shell(f"{COMMAND} {command} {end}")
    assert found.returncode == 1
    assert found.stderr == f"ovsam: cannot write the result to stdout: {reason}\n"


def test_reader_that_leaves_is_no_error():
    found = run_shell(f"set -o pipefail; {COMMAND} vocabularies lvis | head -1")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("end", ["2>&-", "2>/dev/full"])
def test_message_that_cannot_be_written_is_lost_and_the_code_stays(end):
    assert run_shell(f"{COMMAND} report no-such-folder {end}").returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_terminal_lacks_are_numbers(encoding):
    found = run_shell(f"{COMMAND} vocabularies photo", PYTHONIOENCODING=encoding)
    assert (found.returncode, found.stderr) == (0, "")
    whole = run_shell(f"{COMMAND} vocabularies photo", PYTHONIOENCODING="utf-8")
    assert len(found.stdout.splitlines()) == len(whole.stdout.splitlines())


@pytest.mark.parametrize("streams", [">/dev/full 2>/dev/full", "1>&- 2>&-", "2>&1 | head -c 1"])
def test_labelling_goes_on_whatever_becomes_of_its_messages(tmp_path, streams):
    write_images(tmp_path / "in", 3)
    out = tmp_path / "out"
    line = f"{FAKE} label {tmp_path / 'in'} -o {out} --log-format json {streams}"
    found = run_shell(f"set -o pipefail; {line}")
    assert found.returncode == 0
    run = read_run_file(out)
    assert (run["state"], run["run"]["exit_code"], run["totals"]["images"]) == ("finished", 0, 3)
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 3


def test_closed_streams_are_not_taken_by_the_files_of_a_run(tmp_path):
    code = (
        "import sys; from ovsam_pipeline.terminal.streams import secure_streams\n"
        "secure_streams()\n"
        "with open(sys.argv[1], 'w') as file: print(file.fileno(), file=file)"
    )
    run_shell(f'{sys.executable} -c "$CODE" {tmp_path}/n <&- >&- 2>&-', CODE=code)
    assert int((tmp_path / "n").read_text()) > 2


def test_control_characters_are_shown():
    name = "a\x1b[2J\x07\n\x9b31m\u202egnp.\u2028b"
    shown = r"a\x1b[2J\x07\n\x9b31m\u202egnp.\u2028b"
    assert show_controls(name) == shown
    assert show_controls("é漢 🙂") == "é漢 🙂"
    assert show_controls("a\nb\tc", keep="\n") == "a\nb\\tc"
    text = json.dumps({name: name}, ensure_ascii=False)
    assert json.loads(escape_json(text)) == {name: name}
    assert show_controls(escape_json(text)) == escape_json(text)


def test_names_command_no_terminal(tmp_path):
    (tmp_path / "names.txt").write_text("cat\x1b]0;owned\x07\ndog\x9b31m\n")
    found = run_shell(f"{COMMAND} vocabularies {tmp_path / 'names.txt'}")
    both = found.stdout + found.stderr
    assert not {"\x1b", "\x07", "\x9b"} & set(both)
    found = run_shell(f"{COMMAND} report $'{tmp_path}/a\\e[2Jb'")
    assert r"a\x1b[2Jb" in found.stderr

"""Help pages and the tables of flags in docs/ are made from the declared settings."""

import re
import subprocess
import sys

import pytest
import typer
from locations import ROOT

from ovsam_pipeline.commands.contents import app as app_of_commands

COMMANDS = [
    *(
        "label",
        "detect",
        "demo",
        "eval",
        "audit",
        "filter",
        "review",
        "examples",
        "compare",
        "status",
        "report",
        "view",
        "export",
        "detectors",
        "vocabularies",
        "serve",
    ),
    *("info", "doctor", "train", "scenes", "models list", "models fetch", "models convert"),
]


@pytest.fixture
def read_help(run_command, monkeypatch):
    def read(command, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        found = run_command(*command.split(), "--help")
        assert found.code == 0
        return found.out

    return read


def test_every_command_is_looked_at():
    app = typer.main.get_command(app_of_commands)
    models = app.commands["models"].commands
    known = [*(name for name in app.commands if name != "models"), *(f"models {n}" for n in models)]
    assert sorted(known) == sorted(COMMANDS)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal_and_ends_with_examples(read_help, command, columns):
    page = read_help(command, columns)
    assert max(map(len, page.splitlines())) <= columns
    examples = page.partition("\nExamples:\n")[2].splitlines()
    assert 2 <= len(examples) <= 4
    assert all("ovsam " in line for line in examples)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("group", ["", "models"])
def test_lists_of_commands_have_whole_sentences(read_help, group, columns):
    lists = re.findall(r"^(?!Options)\S.*:\n((?:  .+\n)+)", read_help(group, columns), re.MULTILINE)
    # What does not fit a line goes on in the column of the sentences.
    commands = re.sub(r"\n {6,}", " ", "".join(lists)).splitlines()
    assert len(commands) == (3 if group else sum(" " not in name for name in COMMANDS) + 1)
    assert all(line.endswith(".") and not line.endswith("...") for line in commands)


def test_options_are_grouped_in_the_order_of_the_panels(read_help):
    headings = [line for line in read_help("label", 80).splitlines() if line[:1] not in ("", " ")]
    assert headings[1:] == [
        "What to label:",
        "Models:",
        "What comes out:",
        "Output:",
        "Speed and cluster:",
        "Runs and cron:",
        "Examples:",
    ]


def test_tables_of_flags_in_the_docs_are_up_to_date():
    done = subprocess.run(
        [sys.executable, "scripts/flag_tables.py", "--check"],
        check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")

"""`ovsam serve`: what is refused before a model is loaded, and the file for cvat-cli."""

import re

import pytest

from ovsam_pipeline.ui.editors.cvat import read_function_file


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    """Fail where a model would be loaded."""

    def fail(*arguments):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("ovsam.load.load_model", fail)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images", "nothing-here"], "expected --images as a folder, s3://bucket/prefix"),
        (["--label-studio", "localhost"], "expected an address like http://localhost:8080"),
        (["--model", "nano", "--detector", "boxes:a.json"], "boxes of stored images"),
        (["--conf", "2"], "expected --conf from 0 to 1"),
        (["--model", "sam-b", "--labels", "model"], "a SAM, which gives masks alone"),
        (["--cvat-function", "no/such/folder/a.py"], "cannot write no/such/folder/a.py"),
    ],
)
def test_settings_that_cannot_work_are_a_sentence(run_command, arguments, sentence):
    found = run_command("serve", *arguments)
    assert found.code == 2
    assert re.search(sentence, found.err), found.err


def test_token_of_ones_own_must_be_long(run_command, monkeypatch):
    monkeypatch.setenv("OVSAM_UI_TOKEN", "short")
    found = run_command("serve")
    assert found.code == 2
    assert "expected OVSAM_UI_TOKEN as 16 to 200 characters" in found.err


def test_function_file_is_written_before_the_model_is_loaded(run_command, tmp_path):
    file = tmp_path / "ovsam_cvat.py"
    found = run_command("serve", "--cvat-function", file, "--detector", "gt:a.json")
    assert found.code == 2
    assert f"--function-file {file}" in found.err
    assert file.read_text() == read_function_file()


def test_function_file_replaces_only_itself(run_command, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("print('mine')")
    found = run_command("serve", "--cvat-function", file, "--detector", "gt:a.json")
    assert (found.code, file.read_text()) == (2, "print('mine')")
    assert "not replaced; choose another name" in found.err
    file.write_text(read_function_file() + "# changed")
    run_command("serve", "--cvat-function", file, "--detector", "gt:a.json")
    assert file.read_text() == read_function_file()

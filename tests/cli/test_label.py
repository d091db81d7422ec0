import json
import os
import re

import pytest

import ovsam
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows


def test_label_says_what_it_did_where_it_is_and_what_comes_next(run_ovsam, images):
    found = run_ovsam("label", images)
    assert found.code == 0
    assert "6 labelled (12 objects), 0 empty, 0 failed" in found.out
    assert str(images.parent / "images_ovsam" / "annotations.json") in found.out
    out = images.parent / "images_ovsam"
    last = f"next: ovsam view {out} (pictures, in a browser), ovsam report {out} (counts)"
    assert found.out.splitlines()[-1] == last


def test_what_comes_next_can_be_pasted_into_a_shell(run_ovsam, images):
    folder = images.rename(images.with_name("my photos [1]"))
    output = folder.with_name("my photos [1]_ovsam")
    assert f"next: ovsam view '{output}' (" in run_ovsam("label", folder).out


def test_second_run_says_that_nothing_is_left(run_ovsam, images):
    run_ovsam("label", images)
    found = run_ovsam("label", images)
    assert (found.code, "nothing to do: all 6 images" in found.out) == (0, True)


def test_json_prints_one_object_and_nothing_else_on_stdout(run_ovsam, images, tmp_path):
    found = run_ovsam("label", images, "-o", tmp_path / "out", "--json")
    summary = json.loads(found.out)
    assert (summary["labelled"], summary["exit_code"], summary["new"]) == (6, 0, 6)
    assert summary["totals"]["images"] == 6


def test_without_a_terminal_progress_is_plain_lines_on_stderr(run_ovsam, images):
    found = run_ovsam("label", images)
    assert re.search(r"6/6 images · [0-9.]+/s", found.err)
    assert "\x1b" not in found.err + found.out


def test_failed_images_give_exit_code_3_and_their_reasons(run_ovsam, images):
    (images / "broken.png").write_bytes(b"no picture")
    (images / "empty.jpg").write_bytes(b"")
    found = run_ovsam("label", images)
    assert found.code == 3
    assert found.out.count("1 failed: ") == 2
    assert "failures.jsonl" in found.out


def test_failures_over_budget_give_exit_code_4(run_ovsam, images):
    (images / "0.png").write_bytes(b"no picture")
    found = run_ovsam("label", images, "--max-failures", "0")
    assert (found.code, "more than --max-failure-rate allows; stopped with" in found.out) == (
        4,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--conf", "2"], "ovsam: expected --conf from 0 to 1, got 2.0"),
        (["--engine", "local", "--num-actors", "2"], "--num-actors needs a Ray cluster"),
        (["--classes", ","], "expected --classes as names with commas between, got ','"),
        (["--labels", "both"], "expected --labels as one of auto, model, detector"),
        (["--config", "nope"], "no config file 'nope'; packaged ones: label-default"),
    ],
)
def test_bad_setting_is_one_sentence_and_exit_code_2(run_ovsam, images, arguments, message):
    found = run_ovsam("label", images, *arguments)
    assert (found.code, found.out) == (2, "")
    assert message in found.err
    assert len(found.err.splitlines()) == 1
    assert sorted(path.name for path in images.parent.iterdir()) == ["images"]


@pytest.mark.parametrize("arguments", [["--confidence", "1"], ["--max-det", "many"], ["--conf"]])
def test_bad_flag_is_exit_code_2(run_ovsam, images, arguments):
    found = run_ovsam("label", images, *arguments)
    assert (found.code, found.out) == (2, "")
    assert arguments[0] in found.err


def test_no_source_is_exit_code_2(run_ovsam):
    found = run_ovsam("label")
    assert (found.code, "expected at least one source" in found.err) == (2, True)


def test_sources_may_stand_in_the_config_file(run_ovsam, images, tmp_path):
    (tmp_path / "run.yaml").write_text(f"sources: ['{images}']\nconf: 0.5\n")
    found = run_ovsam("label", "--config", tmp_path / "run.yaml", "--conf", "0.75", "--json")
    assert found.code == 0
    run = json.loads((images.parent / "images_ovsam" / "run.json").read_text())
    assert run["settings"]["conf"] == 0.75


@pytest.mark.parametrize("make", ["missing", "empty", "unreadable"])
def test_folder_without_images_is_exit_code_2_and_writes_nothing(run_ovsam, tmp_path, make):
    source = tmp_path / "source"
    if make != "missing":
        source.mkdir()
    if make == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
        source.chmod(0)
    found = run_ovsam("label", source)
    assert (found.code, len(found.err.splitlines())) == (2, 1)
    assert not (tmp_path / "source_ovsam").exists()


def test_other_settings_into_the_same_output_are_refused_with_the_way_out(run_ovsam, images):
    run_ovsam("label", images)
    found = run_ovsam("label", images, "--conf", "0.5")
    assert found.code == 2
    assert "other settings: conf (0.25 before, 0.5 now)" in found.err
    assert "--on-existing overwrite" in found.err
    assert run_ovsam("label", images, "--conf", "0.5", "--on-existing", "overwrite").code == 0


def test_output_held_by_another_run_is_exit_code_75(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    with OutputFolder(tmp_path / "out"):
        found = run_ovsam("label", images, "-o", tmp_path / "out")
    assert found.code == 75
    assert re.search(r"is being written by process \d+ on .*; try again", found.err)


def test_unknown_error_is_one_line_and_debug_shows_more(run_ovsam, images, monkeypatch):
    def build(config, embedding):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(builders, "build_labeller", build)
    found = run_ovsam("label", images, "--quiet")
    (line,) = found.err.splitlines()
    assert (found.code, line[:50]) == (1, "ovsam: internal error: ZeroDivisionError: a bug (t")
    found = run_ovsam("label", images, "--quiet", "--debug")
    assert found.err.startswith("Traceback (most recent call last)")
    assert found.err.splitlines()[-1] == line


def test_report_counts_from_the_folder(run_ovsam, images, tmp_path):
    (images / "broken.png").write_bytes(b"no picture")
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("report", tmp_path / "out")
    assert found.code == 0
    assert "images: 6 labelled, 0 empty, 1 failed" in found.out
    counts = json.loads(run_ovsam("report", tmp_path / "out", "--json").out)
    assert (counts["objects"], sum(counts["classes"].values())) == (12, 12)
    assert sum(counts["reasons"].values()) == 1


def test_export_writes_the_same_file_that_label_wrote(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("export", tmp_path / "out", "--to", tmp_path / "coco.json")
    assert (found.code, "6 images, 12 objects" in found.out) == (0, True)
    written = (tmp_path / "out" / "annotations.json").read_text()
    assert (tmp_path / "coco.json").read_text() == written


def test_summary_tells_what_was_left_alone_what_is_gone_and_what_failed_before(run_ovsam, images):
    (images / "broken.png").write_bytes(b"no picture")
    run_ovsam("label", images)
    (images / "0000.png").unlink()
    (images / "new.png").write_bytes((images / "0001.png").read_bytes())
    found = run_ovsam("label", images)
    assert found.code == 0
    assert "1 image in" in found.out
    assert "5 images were labelled before and did not change" in found.out
    assert "1 failed in an earlier run; --retry-failed tries again" in found.out
    assert "1 row belongs to an image that is no longer in the sources" in found.out
    # No word of all images having labels where one of them has none.
    found = run_ovsam("label", images)
    sentence = (
        "Nothing new: 6 images are labelled, 1 failed earlier (--retry-failed tries it again)"
    )
    assert found.out.splitlines()[0] == sentence
    assert "nothing to do" not in found.out


def test_pictures_are_named_in_the_summary(run_ovsam, images):
    assert "images_ovsam/preview" in run_ovsam("label", images, "--preview", "1").out


def test_export_never_replaces_a_file_unasked_and_writes_json_only(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    mine = tmp_path / "mine.json"
    mine.write_text("mine")
    found = run_ovsam("export", tmp_path / "out", "--to", mine)
    assert (found.code, mine.read_text()) == (2, "mine")
    assert "exists already; give another name, or --overwrite" in found.err
    assert run_ovsam("export", tmp_path / "out", "--to", tmp_path / "x.csv").code == 2
    assert run_ovsam("export", tmp_path / "out", "--to", images, "--overwrite").code == 2
    assert run_ovsam("export", tmp_path / "out", "--to", mine, "--overwrite").code == 0
    assert mine.read_bytes() == (tmp_path / "out/annotations.json").read_bytes()


def test_export_to_a_dash_writes_the_file_to_stdout(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("export", tmp_path / "out", "--to", "-")
    assert found.out == (tmp_path / "out/annotations.json").read_text()


def test_export_refuses_a_place_that_is_not_there_and_tells_json(run_ovsam, images, tmp_path):
    (images / "broken.png").write_bytes(b"no picture")
    run_ovsam("label", images, "-o", tmp_path / "out")
    found = run_ovsam("export", tmp_path / "out", "--to", tmp_path / "nowhere" / "coco.json")
    assert (found.code, "in a folder that exists" in found.err) == (2, True)
    assert "1 failed image is left out" in run_ovsam("export", tmp_path / "out").out
    counts = json.loads(run_ovsam("export", tmp_path / "out", "--json").out)
    assert (counts["images"], counts["failed"], counts["objects"]) == (6, 1, 12)


def test_export_of_a_folder_without_run_file_says_so(run_ovsam, images, tmp_path):
    run_ovsam("label", images, "-o", tmp_path / "out")
    (tmp_path / "out" / "run.json").unlink()
    found = run_ovsam("export", tmp_path / "out")
    assert (found.code, "without run.json" in found.err) == (1, True)


def test_version_is_that_of_the_package(run_ovsam):
    found = run_ovsam("--version")
    assert (found.code, found.out) == (0, f"ovsam {ovsam.__version__}\n")


@pytest.mark.parametrize("command", ["report", "export"])
def test_folder_that_is_no_output_is_exit_code_2(run_ovsam, images, command):
    found = run_ovsam(command, images)
    assert (found.code, "expected an output folder of ovsam label" in found.err) == (2, True)


def test_unknown_export_format_is_exit_code_2(run_ovsam, images):
    found = run_ovsam("export", images, "--format", "jolo")
    assert (found.code, "expected --format as one of coco" in found.err) == (2, True)


def test_classes_and_both_names_of_the_threshold(run_ovsam, images, tmp_path):
    options = ["--classes", "cat, dog", "--confidence-threshold", "0.4"]
    run_ovsam("label", images, "-o", tmp_path / "out", *options)
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert (settings["classes"], settings["conf"]) == (["cat", "dog"], 0.4)


def test_every_input_has_a_row_whatever_is_broken(run_ovsam, tmp_path):
    from bad_images import write_bad_images

    expected = write_bad_images(tmp_path / "bad")
    found = run_ovsam("label", tmp_path / "bad", "-o", tmp_path / "out")
    statuses = {row["file_name"]: row["status"] for row in iterate_rows(tmp_path / "out")}
    wanted = {
        name: {"good": "labelled", "bad": "failed"}[kind]
        for name, kind in expected.items()
        if kind != "ignored"
    }
    assert {name: "labelled" if s == "empty" else s for name, s in statuses.items()} == wanted
    assert found.code == 3
    assert sum(kind == "bad" for kind in expected.values()) >= 20

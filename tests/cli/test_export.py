"""`ovsam export` as a user types it: places, exit codes, and what is printed."""

import json

import pytest
from seven_masks import write_seven_masks


@pytest.fixture
def output(tmp_path):
    return write_seven_masks(tmp_path)


def test_folder_beside_the_output_and_check(run_ovsam, output):
    found = run_ovsam("export", output, "--format", "yolo", "--check")
    assert found.code == 5
    lines = found.out.splitlines()
    assert lines[0].endswith("out_yolo: 2 images, 7 objects")
    assert "1 failed image is left out" in lines
    assert "check: 7 objects read back, mean IoU 0.9745; 1 below 0.98, 0 of them gone" in lines
    assert "  0.8333  object 6 (three parts) of a.png" in lines
    record = json.loads((output.parent / "out_yolo/export.json").read_text())
    assert (record["format"], record["images"], record["failed"]) == ("yolo", 2, 1)
    assert (output.parent / "out_yolo/README.md").is_file()


def test_second_export_needs_overwrite_and_keeps_files_of_others(run_ovsam, output):
    command = ("export", output, "--format", "masks")
    assert run_ovsam(*command).code == 0
    found = run_ovsam(*command)
    assert (found.code, "or --overwrite to replace it" in found.err) == (2, True)
    assert run_ovsam(*command, "--overwrite").code == 0
    (output.parent / "out_masks/mine.txt").write_text("mine")
    found = run_ovsam(*command, "--overwrite")
    assert (found.code, "'mine.txt', which no export wrote" in found.err) == (2, True)


def test_gone_picture_is_exit_code_3_with_its_name(run_ovsam, output):
    (output.parent / "images/a.png").unlink()
    found = run_ovsam("export", output, "--format", "crops", "--json")
    told = json.loads(found.out)
    assert (found.code, told["missing"], list(told["missing_names"])) == (3, 1, ["a.png"])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--format", "jolo"), "expected --format as one of coco"),
        (("--format", "yolo", "--to", "-"), "writes a folder, which stdout cannot take"),
        (("--format", "yolo", "--to", "s3://bucket/x"), "export to a local folder"),
        (("--format", "yolo", "--split", ".8/.8"), "shares that add up to 1"),
        (("--format", "masks", "--on-top", "larger"), "expected --on-top as smaller or score"),
        (("--format", "crops", "--padding", "-1"), "expected --padding in 0..10"),
        (("--format", "crops", "--check"), "no masks that --check could compare"),
        (("--split", ".8/.2"), "--split is for --format yolo or hf, got coco"),
        (("--format", "yolo", "--polygons"), "--polygons is for --format coco, got yolo"),
        (("--format", "hf", "--on-top", "score"), "--on-top is for --format masks, got hf"),
        (("--format", "masks", "--cut-out"), "--cut-out is for --format crops, got masks"),
        (("--format", "csv", "--padding", ".2"), "--padding is for --format crops, got csv"),
        (("--calibrated",), "--calibrated is for --format csv, got coco"),
        (("--check", "--to", "-"), "stdout cannot; name a file"),
        (("--images", "move"), "expected --images as copy or link or none"),
        (("--min-score", "2"), "expected --min-score in 0..1"),
        (("--classes", "dinosaur", "--to", "x.json"), "expected --classes of this output"),
        (("--min-score", "0.5"), "needs a file of its own; name it with --to"),
        (("--polygons",), "needs a file of its own; name it with --to"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run_ovsam, output, flags, sentence, monkeypatch):
    monkeypatch.chdir(output.parent)
    before = sorted(output.parent.rglob("*"))
    found = run_ovsam("export", output, *flags)
    assert (found.code, sentence in found.err) == (2, True), found.err
    assert len(found.err.splitlines()) == 1
    assert sorted(output.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["run.json", "calibration.json", "status.json"])
def test_files_of_an_output_are_never_replaced(run_ovsam, output, name):
    (output / name).touch()
    before = (output / name).read_bytes()
    found = run_ovsam("export", output, "--to", output / name, "--overwrite", "--polygons")
    assert (found.code, "a part of an output folder" in found.err) == (2, True)
    assert (output / name).read_bytes() == before

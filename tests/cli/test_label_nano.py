"""The command as a user types it: embedded weights, example scenes, nothing faked."""

import json

import pytest
from bad_images import write_bad_images
from locations import SCENES
from pycocotools.coco import COCO

from ovsam_pipeline.output.folder import iterate_rows

TRUTH = SCENES / "annotations.json"

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_example_scenes_are_labelled_by_nano(run_command, tmp_path):
    out = tmp_path / "labels"
    found = run_command("label", SCENES, "-o", out, "--model", "nano", "--preview", "4")
    assert found.code == 0
    assert len(list((out / "preview").glob("*.jpg"))) == 4
    rows = list(iterate_rows(out))
    assert len(rows) == len(json.loads(TRUTH.read_text())["images"])
    assert sum(row["status"] == "labelled" for row in rows) > 20
    assert "Apache-2.0" in json.loads((out / "run.json").read_text())["model"]["licence"]


def test_prompted_with_the_truth_most_names_and_masks_are_right(run_command, tmp_path, capsys):
    out = tmp_path / "labels"
    command = ("label", TRUTH, "-o", out, "--detector", f"gt:{TRUTH}", "--model", "nano")
    assert run_command(*command).code == 0
    truth, found = COCO(TRUTH), COCO(out / "annotations.json")
    capsys.readouterr()
    assert len(found.anns) > 0.95 * len(truth.anns)
    rows = list(iterate_rows(out))
    right = [item["category"] == item["detector_category"] for r in rows for item in r["objects"]]
    assert sum(right) > 0.5 * len(right)
    truth_area = sum(item["area"] for item in truth.anns.values())
    assert sum(item["area"] for item in found.anns.values()) == pytest.approx(truth_area, rel=0.3)


def test_folder_of_broken_files_gives_a_row_for_each(run_command, tmp_path):
    expected = write_bad_images(tmp_path / "bad")
    out = tmp_path / "out"
    found = run_command("label", tmp_path / "bad", "-o", out, "--json", "--model", "nano")
    rows = {row["file_name"]: row for row in iterate_rows(out)}
    wanted = {name: kind for name, kind in expected.items() if kind != "ignored"}
    assert rows.keys() == wanted.keys()
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {
        name for name, kind in wanted.items() if kind == "bad"
    }
    summary = json.loads(found.out)
    assert (found.code, summary["exit_code"], summary["listed"]) == (3, 3, len(wanted))
    assert all(row["error"] for row in rows.values() if row["status"] == "failed")

"""README's first command, on the photographs that come with it: nothing cached, no network."""

import json

import pytest
from locations import PHOTOS

from ovsam_pipeline.output.folder import iterate_rows


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.slow
def test_first_command_of_the_readme_names_what_is_on_the_photographs(run_command, tmp_path):
    out = tmp_path / "labels"
    found = run_command("label", PHOTOS, "-o", out, "--preview", "8")
    assert found.code == 0
    assert "Using the embedded model photo" in found.err
    names = {
        row["file_name"].split("/")[-1]: {item["category"] for item in row["objects"]}
        for row in iterate_rows(out)
    }
    assert len(names) == len(list((out / "preview").glob("*.jpg"))) == 8
    assert "cat" in names["chelsea.png"]
    for photograph in ("astronaut.png", "camera.png", "grace_hopper.jpg"):
        assert "person" in names[photograph]
    assert "rocket" in names["rocket.jpg"]
    run = json.loads((out / "run.json").read_text())
    resolved = run["resolved"]
    assert (resolved["model"], resolved["detector"], resolved["labels"]) == (
        "photo",
        "photo",
        "fused",
    )


def test_a_name_that_the_model_does_not_know_is_refused_by_name(run_command, tmp_path):
    found = run_command(
        "label", PHOTOS / "chelsea.png", "-o", tmp_path / "o", "--vocabulary", "cat,flurble"
    )
    assert found.code == 2
    assert "not 'flurble'" in found.err
    assert "ovsam vocabularies photo" in found.err

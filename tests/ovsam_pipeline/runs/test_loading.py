"""When a run loads: only for images to label, and after everything that can be refused before."""

import json
from dataclasses import replace

import pytest
from fake_labeller import make_labeller, write_images

from ovsam.errors import ConfigError, OvsamError
from ovsam_pipeline.engines import choose
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.labelling.labeller import Outlook
from ovsam_pipeline.output.folder import list_parts
from ovsam_pipeline.runs.run import run_labelling
from ovsam_pipeline.settings.label import LabelConfig


class Builder:
    """Builds fakes, counts how often, and foresees their facts."""

    def __init__(self, is_right=True, error=None):
        self.is_right, self.error, self.num_loads = is_right, error, 0

    def __call__(self, config, embedding=None):
        self.num_loads += 1
        if self.error is not None:
            raise self.error
        return make_labeller(config)

    def foresee(self, config):
        facts = make_labeller(config).facts
        if not self.is_right:
            facts = replace(facts, depends_on={"model": "another"})
        return Outlook(facts, self)


@pytest.fixture
def label(tmp_path):
    write_images(tmp_path / "images", 4)

    def run(build, **settings):
        config = LabelConfig(sources=(str(tmp_path / "images"),), **settings)
        return run_labelling(config, tmp_path / "out", build)

    return run


def read_run(tmp_path):
    return json.loads((tmp_path / "out" / "run.json").read_text())


def test_nothing_to_do_loads_nothing_and_says_the_same(label, tmp_path):
    first = label(Builder())
    before = read_run(tmp_path)
    build = Builder()
    result = label(build)
    assert build.num_loads == 0
    assert (result.exit_code, result.plan.num_unchanged) == (0, 4)
    assert result.totals == first.totals
    after = read_run(tmp_path)
    for key in ("fingerprint", "depends_on", "model", "categories", "resolved", "engine", "state"):
        assert after[key] == before[key]


def test_one_new_image_loads_once(label, tmp_path):
    label(Builder())
    write_images(tmp_path / "images", 0, ["new.png"])
    build = Builder()
    assert label(build).summary.done == 1
    assert build.num_loads == 1


def test_rows_are_pruned_without_loading(label, tmp_path):
    label(Builder())
    (tmp_path / "images" / "0001.png").unlink()
    build = Builder()
    assert label(build, prune=True).plan.num_pruned == 1
    assert (build.num_loads, len(json.loads(read_text(tmp_path))["images"])) == (0, 3)


def read_text(tmp_path):
    return (tmp_path / "out" / "annotations.json").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_existing": "error"}, "already holds results"),
        ({"conf": 0.5}, r"other settings: conf \(0.25 before, 0.5 now\)"),
    ],
)
def test_what_the_output_forbids_is_said_before_loading(label, settings, message):
    label(Builder())
    build = Builder()
    with pytest.raises(ConfigError, match=message):
        label(build, **settings)
    assert build.num_loads == 0


def test_output_that_cannot_be_made_is_said_before_loading(label, tmp_path):
    (tmp_path / "file").write_text("")
    build = Builder()
    config = LabelConfig(sources=(str(tmp_path / "images"),))
    with pytest.raises(OutputError, match=r"cannot use the output folder .*file is a file"):
        run_labelling(config, tmp_path / "file" / "out", build)
    assert build.num_loads == 0


def test_failed_loading_leaves_no_folder_and_no_gap(label, tmp_path):
    broken = Builder(error=OvsamError("damaged weights"))
    with pytest.raises(OvsamError, match="damaged weights"):
        label(broken)
    assert not (tmp_path / "out").exists()
    label(Builder())
    with pytest.raises(OvsamError, match="damaged weights"):
        label(broken, on_existing="overwrite")
    assert len(list_parts(tmp_path / "out")) == 1


def test_loaded_facts_count_where_they_are_not_those_foreseen(label, tmp_path):
    """Such as a file of weights that is replaced between the two."""
    label(Builder(is_right=False))
    assert read_run(tmp_path)["depends_on"]["model"] == "fake"


@pytest.mark.parametrize("settings", [{}, {"address": "head:6379"}])
def test_cluster_is_not_asked_where_nothing_is_to_do(label, settings, monkeypatch):
    label(Builder())
    monkeypatch.setattr(choose, "_import_ray_engine", None)
    assert label(Builder(), engine="ray", **settings).plan.num_unchanged == 4
    with pytest.raises(TypeError):  # it would be opened
        label(Builder(), engine="ray", conf=0.4, **settings)

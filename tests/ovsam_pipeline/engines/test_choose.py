import sys

import pytest
from fake_labeller import make_labeller

import ovsam_pipeline
from ovsam.errors import MissingDependencyError
from ovsam_pipeline.engines import choose
from ovsam_pipeline.engines.choose import choose_engine, open_engine
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.settings.label import LabelConfig


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(choose, "_count_gpus", lambda: 1)


def config(**settings) -> LabelConfig:
    return LabelConfig(sources=("images",), **settings)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "local"),
        ({"num_gpus": 1}, "local"),
        ({"num_gpus": 2}, "ray"),
        ({"num_actors": 2}, "ray"),
        ({"address": "auto"}, "ray"),
        ({"engine": "ray"}, "ray"),
        ({"engine": "local"}, "local"),
    ],
)
def test_engine_follows_the_flags(settings, name):
    assert choose_engine(config(**settings)) == name


def test_engine_is_ray_where_the_environment_names_a_cluster(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert choose_engine(config()) == "ray"
    assert choose_engine(config(engine="local")) == "local"


def test_engine_is_ray_on_a_machine_with_several_gpus_unless_one_is_named(monkeypatch):
    monkeypatch.setattr(choose, "_count_gpus", lambda: 8)
    assert choose_engine(config()) == "ray"
    assert choose_engine(config(device="cuda:3")) == "local"


def test_several_gpus_without_ray_are_said_and_one_is_used(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(choose, "_count_gpus", lambda: 8)
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert choose_engine(config()) == "local"
    assert "one of 8 GPUs is used; pip install ray" in caplog.text


def test_ray_that_is_asked_for_and_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ovsam_pipeline.engines.cluster.ray_pool", raising=False)
    monkeypatch.delattr(ovsam_pipeline, "run_ray", raising=False)
    with (
        pytest.raises(MissingDependencyError, match="pip install ray"),
        open_engine(config(engine="ray"), make_labeller),
    ):
        pass


def test_facts_of_the_local_engine_are_the_labellers():
    labeller = make_labeller(config())
    with open_engine(config(), lambda *_: labeller) as local:
        assert local.name == "local"
        assert local.facts.fingerprint == labeller.facts.fingerprint
        assert local.facts.categories == labeller.facts.categories
        assert local.facts.has_labels


def test_the_first_reason_to_stop_stays():
    stop = StopRequest()
    stop.request("time limit")
    stop.request("interrupted")
    assert stop.is_set()
    assert stop.reason == "time limit"

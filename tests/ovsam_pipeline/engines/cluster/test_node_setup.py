import os
import pickle
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from fake_labeller import make_labeller

from ovsam.errors import ConfigError
from ovsam_pipeline.engines.cluster.node_setup import (
    DriverEnvironment,
    Probe,
    check_facts,
    check_version,
    identify_code,
    name_node,
    put_probe,
)
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.folder import OutputFolder
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.storage.remote_path import RemotePath


def config(**settings) -> LabelConfig:
    return LabelConfig(sources=("images",), **settings)


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("OVSAM_HOME", "/weights")
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEONE", "x")
    return pickle.loads(pickle.dumps(DriverEnvironment.describe()))  # noqa: S301  our own


def test_worker_takes_over_variables_of_caches_and_stores(environment, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("OVSAM_HOME", "/other")
    monkeypatch.delenv("LD_PRELOAD_OF_SOMEONE")
    environment.apply()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "hush"
    assert os.environ["OVSAM_HOME"] == "/weights"
    assert "LD_PRELOAD_OF_SOMEONE" not in os.environ


def test_secrets_are_not_shown(environment):
    assert "hush" not in repr(environment)


def test_other_version_on_a_node_is_refused():
    check_version("node7", identify_code())
    with pytest.raises(ConfigError, match=r"node7 has ovsam 0\.0\.1 and this machine .*; install"):
        check_version("node7", "0.0.1")


def test_node_with_other_weights_is_refused_by_name():
    facts = make_labeller(config()).facts
    check_facts("node7", facts, facts)
    other = replace(facts, depends_on={**facts.depends_on, "model": "another"})
    with pytest.raises(ConfigError, match="node7 would label with a different model than the firs"):
        check_facts("node7", facts, other)


def test_probe_is_answered_and_swept_away(tmp_path):
    with put_probe(tmp_path) as probe:
        probe.answer()
        probe.check(platform.node(), os.getpid())
        with pytest.raises(OutputError, match=r"what node7 writes into .* does not arrive here"):
            probe.check("node7", 1)
    assert list(tmp_path.iterdir()) == []


def test_probes_of_a_killed_driver_are_removed_by_the_next_run_of_any_engine(tmp_path):
    for name in (".probe-0123", ".probe-0123-node7-12"):
        (tmp_path / name).touch()
    with OutputFolder(tmp_path):
        assert list(tmp_path.glob(".probe*")) == []


def test_node_that_does_not_see_the_output_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"does not see the output folder .*/elsewhere of this r"):
        Probe(tmp_path / "elsewhere" / ".probe-1").answer()


def test_node_that_cannot_write_the_output_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with put_probe(tmp_path) as probe:
        monkeypatch.setattr(Path, "write_text", refuse)
        with pytest.raises(OutputError, match=r"cannot write the output .*Permission denied"):
            probe.answer()


def test_store_needs_no_probe():
    with put_probe(RemotePath("s3://bucket/out")) as probe:
        assert probe.path is None
        probe.answer()
        probe.check("node7", 1)


def test_error_of_a_worker_names_its_machine_once():
    error = name_node(OutputError("cannot write /out: no space"), "node7:12")
    assert str(error) == "on node7:12: cannot write /out: no space"
    assert isinstance(error, OutputError)
    assert str(name_node(OutputError("node7 cannot write"), "node7")) == "node7 cannot write"


def test_error_of_the_drivers_own_machine_is_as_without_a_cluster(environment):
    error = ConfigError("no file x.pt")
    assert environment.name_node(error) is error
    named = replace(environment, host="another").name_node(error)
    assert str(named) == f"on {platform.node()}: no file x.pt"


def test_relative_paths_are_meant_from_where_the_command_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    environment = DriverEnvironment("node7", str(tmp_path), {})
    environment.enter_folder(("images",))
    assert Path.cwd() == tmp_path
    elsewhere = DriverEnvironment("node7", "/not/here", {})
    elsewhere.enter_folder(("/data/images", "s3://bucket/images"))
    assert Path.cwd() == tmp_path
    with pytest.raises(ConfigError, match="has no folder /not/here, where the command was started"):
        elsewhere.enter_folder(("/data", "images"))

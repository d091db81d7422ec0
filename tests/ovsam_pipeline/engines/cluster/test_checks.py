import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from fake_labeller import make_labeller

import ovsam
from ovsam.errors import ConfigError
from ovsam_pipeline.engines.cluster.checks import (
    Probe,
    answer_probe,
    check_facts,
    check_version,
    enter_folder,
    name_node,
)
from ovsam_pipeline.engines.cluster.size import ClusterSize, choose_size
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.storage.remote_path import RemotePath

GPU_NODE = {"CPU": 16.0, "GPU": 8.0}
CPU_NODE = {"CPU": 4.0}


def config(**settings) -> LabelConfig:
    return LabelConfig(sources=("images",), **settings)


@pytest.mark.parametrize(
    ("settings", "nodes", "expected"),
    [
        ({}, [GPU_NODE, GPU_NODE], (16, 1.0, 1)),
        ({"num_gpus": 4}, [GPU_NODE, GPU_NODE], (4, 1.0, 1)),
        ({"num_actors": 3}, [GPU_NODE], (3, 1.0, 1)),
        ({"num_actors": 30}, [GPU_NODE], (30, 1.0, 1)),
        ({"num_actors": 30, "num_gpus": 4}, [GPU_NODE], (4, 1.0, 1)),
        ({"num_actors": 2, "num_gpus": 4}, [GPU_NODE], (2, 1.0, 1)),
        ({"num_actors": 2}, [CPU_NODE], (2, 0.0, 2)),
        ({"num_actors": 4}, [CPU_NODE], (4, 0.0, 1)),
        ({"num_actors": 9}, [CPU_NODE], (9, 0.0, 1)),
        ({"gpus_per_actor": 0.5}, [GPU_NODE], (16, 0.5, 1)),
        ({"gpus_per_actor": 3}, [GPU_NODE, GPU_NODE], (4, 3, 1)),
        ({"num_gpus": 0}, [GPU_NODE], (8, 0.0, 2)),
        ({"device": "cpu"}, [GPU_NODE], (8, 0.0, 2)),
        ({}, [CPU_NODE, {"CPU": 3.0}], (3, 0.0, 2)),
        ({"cpus_per_actor": 1}, [CPU_NODE], (4, 0.0, 1)),
        ({"cpus_per_actor": 64}, [CPU_NODE, CPU_NODE], (2, 0.0, 4)),
        ({}, [{"CPU": 1.0}], (1, 0.0, 1)),
        ({"num_gpus": 8, "address": "auto"}, [{}], (8, 1.0, 1)),
    ],
)
def test_workers_follow_nodes_and_flags(settings, nodes, expected):
    size = choose_size(config(**settings), nodes)
    assert (size.num_actors, size.gpus, size.cpus) == expected


def test_workers_of_a_cluster_that_changes_go_on_holding_the_same():
    size = choose_size(config(), [GPU_NODE])
    assert choose_size(config(), [GPU_NODE] * 3, size) == ClusterSize(24, 1.0, 1)
    assert choose_size(config(), [CPU_NODE], size) == ClusterSize(1, 1.0, 1)


def test_gpus_that_are_not_there_are_refused_unless_a_cluster_may_start_them(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert choose_size(config(num_gpus=2), [CPU_NODE]) == ClusterSize(2, 1.0, 1)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ConfigError, match="Ray finds none on this machine; leave --num-gpus"):
        choose_size(config(num_gpus=2), [CPU_NODE])


@pytest.mark.parametrize(
    ("gpus", "given", "device"), [(1.0, "auto", "cuda"), (0.0, "auto", "cpu"), (1.0, "cpu", "cpu")]
)
def test_device_of_a_worker_is_what_it_holds(gpus, given, device):
    assert ClusterSize(1, gpus, 1).choose_device(given) == device


def test_needs_of_a_worker_are_told():
    assert ClusterSize(2, 0.5, 1).describe() == (
        "each needs 0.5 GPUs and 1 CPUs of one node of the cluster"
    )
    assert ClusterSize(2, 0.0, 2).describe() == "each needs 2 CPUs of one node of the cluster"


def test_other_version_on_a_node_is_refused():
    check_version("node7", ovsam.__version__)
    with pytest.raises(ConfigError, match=r"node7 has ovsam 0\.0\.1 and this machine .*; install"):
        check_version("node7", "0.0.1")


def test_node_with_other_weights_is_refused_by_name():
    facts = make_labeller(config()).facts
    check_facts("node7", facts, facts)
    other = replace(facts, fingerprint="x", depends_on={**facts.depends_on, "model": "another"})
    with pytest.raises(ConfigError, match="node7 would label with a different model than the firs"):
        check_facts("node7", facts, other)


def test_probe_is_answered_and_swept_away(tmp_path):
    with Probe(tmp_path) as probe:
        answer_probe(probe.path)
        probe.check(platform.node(), os.getpid())
        with pytest.raises(OutputError, match=r"what node7 writes into .* does not arrive here"):
            probe.check("node7", 1)
    assert list(tmp_path.iterdir()) == []


def test_node_that_does_not_see_the_output_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"does not see the output folder .*/elsewhere of this r"):
        answer_probe(tmp_path / "elsewhere" / ".probe-1")


def test_node_that_cannot_write_the_output_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with Probe(tmp_path) as probe:
        monkeypatch.setattr(Path, "write_text", refuse)
        with pytest.raises(OutputError, match=r"cannot write the output .*Permission denied"):
            answer_probe(probe.path)


def test_store_needs_no_probe():
    with Probe(RemotePath("s3://bucket/out")) as probe:
        assert probe.path is None
        probe.check("node7", 1)


def test_error_of_a_worker_names_its_machine_once():
    error = name_node(OutputError("cannot write /out: no space"), "node7:12")
    assert str(error) == "on node7:12: cannot write /out: no space"
    assert isinstance(error, OutputError)
    assert str(name_node(OutputError("node7 cannot write"), "node7")) == "node7 cannot write"


def test_relative_paths_are_meant_from_where_the_command_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    enter_folder(str(tmp_path), ("images",))
    assert Path.cwd() == tmp_path
    enter_folder("/not/here", ("/data/images", "s3://bucket/images"))
    assert Path.cwd() == tmp_path
    with pytest.raises(ConfigError, match="has no folder /not/here, where the command was started"):
        enter_folder("/not/here", ("/data", "images"))

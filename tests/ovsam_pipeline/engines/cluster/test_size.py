import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.engines.cluster.size import ClusterSize, check_device, choose_size
from ovsam_pipeline.settings.label import LabelConfig

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


def test_numbered_device_is_refused():
    check_device("cuda")
    with pytest.raises(ConfigError, match="--device cuda:1 names one GPU, and Ray gives each"):
        check_device("cuda:1")

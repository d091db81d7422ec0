"""A Ray cluster on this machine for all tests of a session: made once, as that takes seconds."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from locations import DOUBLES, ROOT, TESTS

# Ray reads it once, when it is imported, which test_cluster_docs.py does before any fixture.
os.environ.setdefault("RAY_AUTH_MODE", "token")


@pytest.fixture(scope="session")
def ray_home() -> Iterator[dict[str, str]]:
    """Variables of Ray for this process: files in a folder with a short name, fakes importable."""
    with tempfile.TemporaryDirectory(prefix="ry", dir="/tmp") as folder:
        wanted = {
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": f"{folder}/token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_DEDUP_LOGS": "0",
            "PYTHONPATH": os.pathsep.join([str(TESTS / "cluster"), str(DOUBLES), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
        }
        Path(wanted["RAY_AUTH_TOKEN_PATH"]).write_text("0123456789abcdef" * 4)
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        yield wanted
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def cluster(ray_home) -> Iterator[Any]:
    """A cluster with one node of two CPUs, that this process is connected to."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    assert "ray" in sys.modules

import os
import pickle
from dataclasses import replace

import pytest

from ovsam_pipeline.engines.cluster.driver_environment import DriverEnvironment


@pytest.fixture
def home(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("OVSAM_HOME", "/weights")
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEONE", "x")
    return pickle.loads(pickle.dumps(DriverEnvironment.describe()))  # noqa: S301  our own


def test_worker_takes_over_variables_of_caches_and_stores(home, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("OVSAM_HOME", "/other")
    monkeypatch.delenv("LD_PRELOAD_OF_SOMEONE")
    home.apply()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "hush"
    assert os.environ["OVSAM_HOME"] == "/weights"
    assert "LD_PRELOAD_OF_SOMEONE" not in os.environ


def test_secrets_are_not_shown(home):
    assert "hush" not in repr(home)


def test_home_is_told_from_other_machines(home):
    assert home.is_here
    assert not replace(home, host="another").is_here

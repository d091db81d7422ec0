import json
from importlib import metadata

import pytest

from ovsam.errors import CheckpointError


@pytest.fixture
def found(run_command, monkeypatch, tmp_path):
    """Run `ovsam doctor` with an empty cache."""
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return lambda *arguments: run_command("doctor", *arguments)


def test_doctor_gives_one_line_a_check_and_exits_0(found, tmp_path):
    result = found("-o", tmp_path / "not" / "yet" / "there")
    lines = result.out.splitlines()
    assert result.code == 0, result.out
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    for name in ("torch", "device", "open_clip", "embedded model", "output folder", "disk space"):
        assert sum(f" {name}: " in line for line in lines) == 1
    assert str(tmp_path) in next(line for line in lines if "output folder" in line)


def test_quick_check_loads_nothing_and_sees_what_is_broken(found, monkeypatch, tmp_path):
    def fail(*arguments):
        raise AssertionError("something was loaded")

    monkeypatch.setattr("ovsam.load.load_model", fail)
    monkeypatch.setattr("torch.cuda.is_available", fail)
    result = found("--quick", "-o", tmp_path)
    assert result.code == 0, result.out
    assert "packages: torch " in result.out
    assert "embedded model" not in result.out
    monkeypatch.setattr("ovsam_pipeline.commands.doctor.metadata.version", _refuse)
    result = found("--quick")
    assert result.code == 1
    assert "broken  packages: PackageNotFoundError: " in result.out


def _refuse(name):
    raise metadata.PackageNotFoundError(name)


def test_doctor_exits_1_and_names_what_is_broken(found, monkeypatch):
    def refuse(*arguments):
        raise CheckpointError("model.safetensors is truncated")

    monkeypatch.setattr("ovsam.load.load_model", refuse)
    result = found("--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert result.code == 1
    assert checks["embedded model"]["state"] == "broken"
    assert "truncated" in checks["embedded model"]["detail"]
    assert checks["torch"]["state"] == "ok"


def test_missing_package_is_broken_not_a_crash(found, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    result = found("--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert (result.code, checks["open_clip"]["state"]) == (1, "broken")

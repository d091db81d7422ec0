"""What people's checks have shown: that no run loses it, and that other labels make it stale."""

import json
from dataclasses import replace

import pytest

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.checked_labels import (
    CALIBRATION_FILE,
    Calibration,
    Certificate,
    ClassCertificate,
    FittedMap,
    read_calibration,
    read_certificate,
    write_calibration,
)
from ovsam_pipeline.output.folder import OutputFolder, read_run_file

CERTIFICATE = Certificate(
    0.9, 0.95, 0.25, 600, 1000, 0, 120, 4, 200, 3, 150, 1,
    (ClassCertificate("cup", 0.5, 80, 90, 40, 0),), ("anna",), "f", "2026-11-29T10:00:00+00:00",
)  # fmt: skip
FITTED = FittedMap(2.0, 1.5, 60, 50, 0.25, 0.04, ((0.5, 0.9, 60),), ((0.88, 0.9, 60),))
CALIBRATION = Calibration(FITTED, None, 80, ("anna",), "f", "2026-11-29T10:00:00")


@pytest.fixture
def folder(tmp_path):
    with OutputFolder(tmp_path / "out") as held:
        held.write_run_file({"fingerprint": "f", "certified": CERTIFICATE.to_dict()})
        yield held


def test_certificate_comes_back_from_run_json(folder):
    assert read_certificate(read_run_file(folder.path)) == CERTIFICATE
    assert CERTIFICATE.to_dict()["accepted_share"] == 0.6


def test_later_run_of_the_same_settings_keeps_the_certificate(folder):
    folder.write_run_file({"fingerprint": "f", "state": "finished"})
    run = read_run_file(folder.path)
    assert run["state"] == "finished"
    assert read_certificate(run) == CERTIFICATE


def test_run_of_other_settings_marks_the_certificate_stale(folder):
    folder.write_run_file({"fingerprint": "g"})
    run = read_run_file(folder.path)
    assert run["certified"]["stale"] is True
    assert read_certificate(run) == replace(CERTIFICATE, stale=True)


@pytest.mark.parametrize(("fingerprint", "is_stale"), [("f", False), ("g", True)])
def test_certificate_survives_overwriting(folder, fingerprint, is_stale):
    folder.prepare("anything", {}, "overwrite")
    assert list(read_run_file(folder.path)) == ["certified"]
    folder.write_run_file({"fingerprint": fingerprint})
    assert read_certificate(read_run_file(folder.path)) == replace(CERTIFICATE, stale=is_stale)


def test_overwriting_what_nobody_certified_leaves_no_run_file(tmp_path):
    with OutputFolder(tmp_path / "out") as folder:
        folder.write_run_file({"fingerprint": "f"})
        folder.prepare("g", {}, "overwrite")
        assert not (folder.path / "run.json").exists()


def test_new_certificate_replaces_the_old_one(folder):
    newer = replace(CERTIFICATE, target=0.8, looks=2)
    folder.write_run_file({**read_run_file(folder.path), "certified": newer.to_dict()})
    assert read_certificate(read_run_file(folder.path)) == newer


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        {"target": "high"},
        {**CERTIFICATE.to_dict(), "x": 1},
        {**CERTIFICATE.to_dict(), "target": 1.0},
        {**CERTIFICATE.to_dict(), "confidence": float("nan")},
    ],
)
def test_damaged_certificate_is_none(stored):
    assert read_certificate({"fingerprint": "f", "certified": stored}) is None


def test_calibration_comes_back_from_its_file(tmp_path):
    assert read_calibration(tmp_path) is None
    write_calibration(tmp_path, CALIBRATION)
    assert read_calibration(tmp_path) == CALIBRATION


@pytest.mark.parametrize("content", ["{", '{"label": 3}', "[]", json.dumps({"sampled": "many"})])
def test_damaged_calibration_says_how_to_make_it_anew(tmp_path, content):
    (tmp_path / CALIBRATION_FILE).write_text(content)
    with pytest.raises(OutputError, match=r"cannot read .*calibration.json: .*--calibrate"):
        read_calibration(tmp_path)

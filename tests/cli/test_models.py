import json

import pytest
from file_server import run_file_server

from ovsam.weights.known_weights import KNOWN_MODELS, S_LAB, KnownModel, WeightFile


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A known model of one file under the restricting licence, on a local server."""
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    with run_file_server() as server:
        served = server.serve("/tiny.pth", b"weights")
        file = WeightFile(
            ("tiny.pth",), S_LAB, 7, url=f"{server.url}/tiny.pth", sha256=served.sha256
        )
        monkeypatch.setitem(KNOWN_MODELS, "tiny", KnownModel("tiny", "rn50", (file,), "", "coco"))
        yield server


def test_list_names_weights_licences_and_what_is_here(run_ovsam):
    result = run_ovsam("models", "list")
    assert result.code == 0
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert "embedded" in lines["nano"]
    assert "NTU S-Lab License 1.0" in lines["rn50x16-coco"]
    assert " 4.3 GB " in lines["rn50x16-coco"]
    assert " 41 MB " in lines["mobilesam"]
    assert "masks alone, for --labels detector" in lines["mobilesam"]


def test_list_as_json_has_files_and_paths(run_ovsam):
    models = json.loads(run_ovsam("models", "list", "--json").out)["models"]
    coco = next(model for model in models if model["name"] == "rn50x16-coco")
    assert [file["origin"].split("/")[-1] for file in coco["files"]] == [
        "sam2clip_vith_rn50x16.pth",
        "clip2sam_coco_rn50x16.pth",
        "open_clip_model.safetensors",
        "sam_vit_h_4b8939.pth",
    ]
    assert coco["licences"][0]["restricts"] is True


def test_list_has_detectors_and_their_text_tower(run_ovsam):
    result = run_ovsam("models", "list")
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert " 1.3 GB " in lines["detic"]
    assert "Detic's text tower" in lines["clip-vit-b32"]
    listed = json.loads(run_ovsam("models", "list", "--json").out)["detectors"]
    assert {detector["name"] for detector in listed} <= lines.keys()
    assert all(detector["files"] for detector in listed)


def test_fetch_without_acceptance_shows_the_licence_and_fetches_nothing(run_ovsam, known):
    result = run_ovsam("models", "fetch", "tiny")
    assert result.code == 1
    assert "non-commercial purposes only" in result.err
    assert "--accept-license" in result.err
    assert known.requests == []


def test_fetch_with_acceptance_prints_the_file_and_asks_once(run_ovsam, known, tmp_path):
    first = run_ovsam("models", "fetch", "tiny", "--accept-license")
    assert first.code == 0
    assert str(tmp_path / "cache" / "weights" / "tiny.pth") in first.out
    assert "non-commercial" in first.err
    second = run_ovsam("models", "fetch", "tiny", "--json")
    assert second.code == 0
    assert json.loads(second.out)["paths"] == [str(tmp_path / "cache" / "weights" / "tiny.pth")]
    assert "non-commercial" not in second.err
    assert len(known.requests) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_fetch_asks_on_a_terminal(run_ovsam, known, monkeypatch, answer, code):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run_ovsam("models", "fetch", "tiny").code == code


def test_fetch_of_an_unknown_name_is_a_usage_error(run_ovsam):
    result = run_ovsam("models", "fetch", "rn50x16-coko")
    assert result.code == 2
    assert "did you mean 'rn50x16-coco'" in result.err
    assert "Traceback" not in result.err


def test_convert_without_model_is_a_usage_error(run_ovsam, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    result = run_ovsam("models", "convert", tmp_path / "a.pth", "-o", tmp_path / "a.safetensors")
    assert result.code == 2
    assert "expected --model" in result.err


def test_convert_of_a_damaged_file_is_one_sentence(run_ovsam, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"not weights")
    output = tmp_path / "a.safetensors"
    result = run_ovsam("models", "convert", tmp_path / "a.pth", "-o", output, "--model", "nano")
    assert result.code == 1
    assert "a.pth" in result.err
    assert "Traceback" not in result.err

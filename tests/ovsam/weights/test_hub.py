import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from file_server import FileServer, run_file_server

from ovsam.errors import ConfigError, DownloadError
from ovsam.weights import hub
from ovsam.weights.known_weights import APACHE, KNOWN_MODELS, MIT, S_LAB, KnownModel, WeightFile

REPO = "somebody/weights"
CONTENT = b"tensors" * 20_000


@pytest.fixture(scope="module")
def running_server():
    with run_file_server() as server:
        yield server


@pytest.fixture
def server(running_server: FileServer, tmp_path, monkeypatch):
    """A fake hub, an empty cache of ours and an empty one of the hub's library."""
    from huggingface_hub import constants

    running_server.files.clear()
    running_server.requests.clear()
    running_server.status = 200
    url = running_server.url
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "ovsam"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return running_server


@pytest.fixture
def known(server, monkeypatch):
    """Make one known model of the given files."""

    def add(*files: WeightFile) -> str:
        model = KnownModel("tiny", "rn50", files, "for tests", "coco")
        monkeypatch.setitem(KNOWN_MODELS, "tiny", model)
        return model.name

    return add


def hub_file(*names: str, licence=MIT, sha256=None) -> WeightFile:
    return WeightFile(names or ("a.bin",), licence, len(CONTENT), repo_id=REPO, sha256=sha256)


def test_fetch_downloads_once_and_locate_finds_it(server, known):
    server.serve_on_hub(REPO, "a.bin", CONTENT)
    name = known(hub_file())
    assert hub.locate(name) is None
    (path,) = hub.fetch_model(name)
    assert path.read_bytes() == CONTENT
    assert hub.locate(name) == (path,)
    assert hub.require(name) == (path,)


def test_second_name_of_a_file_is_taken_where_the_first_is_missing(server, known):
    server.serve_on_hub(REPO, "old.bin", CONTENT)
    (path,) = hub.fetch_model(known(hub_file("new.safetensors", "old.bin")))
    assert path.name == "old.bin"


def test_cut_hub_download_is_continued(server, known, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    served = server.serve_on_hub(REPO, "a.bin", CONTENT, cut_after=[60_000])
    (path,) = hub.fetch_model(known(hub_file(sha256=served.sha256)))
    assert path.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=60000-"]


@pytest.mark.parametrize("is_published", [True, False], ids=["known sha256", "the hub's sha256"])
def test_damaged_hub_file_is_refused_and_removed(server, known, is_published):
    served = server.serve_on_hub(REPO, "a.bin", CONTENT, is_damaged=True)
    name = known(hub_file(sha256=served.sha256 if is_published else None))
    with pytest.raises(DownloadError, match=f"a.bin arrived damaged: .*{served.sha256}"):
        hub.fetch_model(name)
    assert hub.locate(name) is None
    served.is_damaged = False
    (path,) = hub.fetch_model(name)
    assert path.read_bytes() == CONTENT


def test_sha256_is_recorded_and_a_change_is_told(server, known, caplog):
    served = server.serve_on_hub(REPO, "a.bin", CONTENT)
    name = known(hub_file())
    hub.fetch_model(name)
    record = json.loads((Path(os.environ["OVSAM_CACHE"]) / "checksums.json").read_text())
    assert record[f"{REPO}/a.bin"]["sha256"] == served.sha256
    served.content = CONTENT + b"changed"
    server.commit = "d" * 40
    with caplog.at_level(logging.WARNING):
        hub.fetch_model(name)
    assert "has changed since it was first downloaded" in caplog.text


def test_restricting_licence_must_be_accepted_once(server, known):
    server.serve_on_hub(REPO, "a.bin", CONTENT)
    name = known(hub_file(licence=S_LAB))
    with pytest.raises(DownloadError, match=r"non-commercial purposes only.*--accept-license"):
        hub.fetch_model(name)
    assert server.requests == []
    hub.fetch_model(name, accept_licence=True)
    assert hub.unaccepted_licences([S_LAB]) == ()
    hub.fetch_model(name)


def test_damaged_record_is_ignored(server, known, caplog):
    server.serve_on_hub(REPO, "a.bin", CONTENT)
    folder = Path(os.environ["OVSAM_CACHE"])
    folder.mkdir()
    (folder / "licences.json").write_text("{ not json")
    assert hub.unaccepted_licences([S_LAB, MIT]) == (S_LAB,)
    assert "licences.json is damaged and ignored" in caplog.text


def test_plain_https_file_is_kept_in_our_cache(server, known):
    served = server.serve("/sam.pth", CONTENT)
    file = WeightFile(("sam.pth",), APACHE, 1, url=f"{server.url}/sam.pth", sha256=served.sha256)
    (path,) = hub.fetch_model(known(file))
    assert path == Path(os.environ["OVSAM_CACHE"]) / "weights" / "sam.pth"
    assert hub.fetch_model("tiny") == (path,)
    assert len(server.requests) == 1


def test_missing_hub_file_names_what_was_looked_for(server, known):
    with pytest.raises(DownloadError, match=r"somebody/weights has none of a.bin, b.bin"):
        hub.fetch_model(known(hub_file("a.bin", "b.bin")))


def test_refused_repository_names_the_token(server, known):
    server.serve_on_hub(REPO, "a.bin", CONTENT)
    server.status = 401
    with pytest.raises(DownloadError, match=r"HTTP 401.*set HF_TOKEN"):
        hub.fetch_model(known(hub_file()))


def test_a_failing_hub_is_told_with_its_status(server, known):
    server.serve_on_hub(REPO, "a.bin", CONTENT)
    server.status = 500
    with pytest.raises(DownloadError, match=r"cannot download hf.co/.*a.bin: HTTP 500; try again"):
        hub.fetch_model(known(hub_file()))


def test_the_embedded_model_needs_no_fetching(server):
    assert hub.fetch_model("nano") == hub.locate("nano")
    assert server.requests == []


def test_unreachable_hub_names_the_endpoint(server, known, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(DownloadError, match=r"from http://127.0.0.1:9: .*HF_ENDPOINT"):
        hub.fetch_model(known(hub_file()))


@pytest.mark.parametrize("kind", ["hub", "url"])
def test_offline_mode_names_the_variable(server, known, monkeypatch, kind):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    url_file = WeightFile(("a.bin",), APACHE, 1, url=f"{server.url}/a.bin")
    with pytest.raises(DownloadError, match=r"HF_HUB_OFFLINE is set; unset it"):
        hub.fetch_model(known(hub_file() if kind == "hub" else url_file))


@pytest.mark.parametrize("names", [("a.bin",), ("new.safetensors", "a.bin")])
def test_offline_mode_uses_what_is_cached(server, known, monkeypatch, names):
    from huggingface_hub import constants

    server.serve_on_hub(REPO, "a.bin", CONTENT)
    paths = hub.fetch_model(known(hub_file(*names)))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.requests.clear()
    assert hub.fetch_model("tiny") == paths
    assert server.requests == []


def test_require_names_the_command(server, known):
    with pytest.raises(DownloadError, match=r"fetch them once with `ovsam models fetch tiny`"):
        hub.require(known(hub_file()))


def test_unknown_name_suggests_the_nearest(server):
    with pytest.raises(ConfigError, match=r"did you mean 'rn50x16-coco'"):
        hub.locate("rn50x16-cocoo")


def test_best_cached_model_is_photo_until_all_files_are_here(server):
    assert hub.best_cached_model() == "photo"
    files = KNOWN_MODELS["rn50x16-coco"].files
    for file in files:
        for served in (
            server.serve_on_hub(file.repo_id, file.names[0], b"x"),
            server.serve("/" + file.names[0], b"x"),
        ):
            assert served.content == b"x"
    _fetch_fakes(files, server)
    assert hub.best_cached_model() == "rn50x16-coco"


def _fetch_fakes(files: tuple[WeightFile, ...], server: FileServer) -> None:
    for file in files:
        fake = dataclasses.replace(file, sha256=None)
        if fake.url:
            fake = dataclasses.replace(fake, url=f"{server.url}/{file.names[0]}")
        hub._fetch_file(fake, None)


def test_every_known_model_has_a_structure_and_a_licence():
    from ovsam.build import MODEL_NAMES
    from ovsam.sam import SAM_NAMES

    for model in KNOWN_MODELS.values():
        assert model.config_name in (*MODEL_NAMES, *SAM_NAMES, "photo")
        assert model.licences
        assert all(bool(file.repo_id) != bool(file.url) for file in model.files)
    assert S_LAB in KNOWN_MODELS["rn50x16-coco"].licences


def test_environment_of_the_hub_is_honoured(server, tmp_path):
    server.serve_on_hub("HarborYuan/ovsam_models", "clip2sam_lvis_rn50x16.pth", CONTENT)
    script = (
        "from ovsam.weights import hub\n"
        "from ovsam.weights.known_weights import KNOWN_MODELS as known\n"
        "print(hub._fetch_file(known['rn50x16-lvis'].files[1], None))"
    )
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "elsewhere"),
        "HF_TOKEN": "hf_secret",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OVSAM_CACHE": str(tmp_path / "ovsam"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "elsewhere" / "hub")
    assert server.requests[0][3] == "Bearer hf_secret"
    assert "hf_secret" not in done.stdout + done.stderr

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ovsam_pipeline.storage import google_login
from ovsam_pipeline.storage.google_login import check_google_login
from ovsam_pipeline.storage.remote_path import parse_path


@pytest.fixture(autouse=True)
def no_login(tmp_path, monkeypatch):
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "GCE_METADATA_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setattr(google_login, "_ROLE_HOST", "127.0.0.1:9")


def test_without_a_login_one_sentence_says_so(monkeypatch):
    with pytest.raises(PermissionError, match="expected a login for gs://, got none: set GOOGLE_"):
        check_google_login()
    with pytest.raises(PermissionError, match="expected a login for gs://"):
        parse_path("gs://bucket/photos").exists()


def test_key_file_that_is_gone_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    with pytest.raises(PermissionError, match=r"names the file .*gone\.json, which is not there"):
        check_google_login()


def test_files_that_are_there_are_the_clients_to_read(monkeypatch, tmp_path):
    (tmp_path / "application_default_credentials.json").write_text("{}")
    check_google_login()
    (tmp_path / "application_default_credentials.json").rename(tmp_path / "key.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    check_google_login()


@pytest.mark.parametrize("is_google", [True, False])
def test_role_of_a_machine_counts_where_google_answers(is_google, monkeypatch):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if is_google:
                self.send_header("Metadata-Flavor", "Google")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
        if is_google:
            check_google_login()
        else:
            with pytest.raises(PermissionError, match="got none"):
                check_google_login()
        thread.join()

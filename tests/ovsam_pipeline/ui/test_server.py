"""The server as a process of its own: its address, its end, and senders without manners."""

import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from ovsam.errors import ConfigError, MissingDependencyError
from ovsam_pipeline.ui import extra, server
from ovsam_pipeline.ui.security import Security

SCRIPT = """
import sys
from ovsam_pipeline.terminal.app import run_app
from ovsam_pipeline.ui import patience
from ovsam_pipeline.ui.server import run_ui
patience.HEAD_SECONDS = 0.5
run_app(lambda: run_ui({"kind": "demo"}, [], host=sys.argv[1]))
"""


@pytest.fixture
def start():
    running = []

    def start(host="127.0.0.1"):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, host],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        address = process.stdout.readline().strip()
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/[\w-]{32}/", address)[1])
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        return process, port, address

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ask(port, text):
    """Send bytes; return all that comes until the server ends the connection, and the seconds."""
    before = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(text)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts), time.monotonic() - before


def test_server_answers_ends_rude_connections_and_stops_at_ctrl_c(start):
    process, port, address = start()
    token = address.split("/")[3]
    good, _ = ask(
        port, f"GET /{token}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    )
    assert good.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nserver:" not in good.lower()
    climbing = f"GET /{token}/static/../../security.py HTTP/1.1\r\nHost: localhost\r\n"
    assert b"404" in ask(port, f"{climbing}Connection: close\r\n\r\n".encode())[0][:20]
    # Nothing, or the beginning of a head: no connection is kept for it.
    for text in (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
        told, seconds = ask(port, text)
        assert (told, 0.3 < seconds < 3) == (b"", True)
    assert ask(port, b"\x16\x03\x01 no HTTP\r\n\r\n")[0].startswith(b"HTTP/1.1 400")
    process.send_signal(signal.SIGINT)
    out, noted = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert noted.splitlines() == ["press Ctrl-C to stop", "stopped"]


def test_listening_for_others_says_what_that_means(start):
    process, _, _ = start("0.0.0.0")
    process.send_signal(signal.SIGTERM)
    noted = process.communicate(timeout=10)[1]
    assert "every machine that reaches this one can ask this server" in noted
    assert "plain HTTP" in noted
    assert process.returncode == 130


def test_busy_ports_and_foreign_addresses_are_told():
    app = server.build_app({}, [], Security("t" * 16))
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"port {port}: Address already in use; choose another"
        ):
            server.serve(app, "127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 0: "):
        server.serve(app, "192.0.2.1")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_missing_extra_is_named(monkeypatch, missing):
    extra.require_ui()
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(MissingDependencyError, match=r"uvicorn: pip install starlette uvicorn"):
        extra.require_ui()


def test_the_server_needs_neither_torch_nor_arrow():
    """Of all commands with a page `ovsam view` starts fastest."""
    heavy = "print({'torch', 'pyarrow', 'cv2'} & set(sys.modules))"
    code = f"import sys, ovsam_pipeline.ui.server; {heavy}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_a_browser_opens_by_itself_only_with_a_display(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not server._has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert server._has_display()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert not server._has_display()

import logging
import signal
import sys
from types import SimpleNamespace

import pytest
from fake_labeller import make_labeller, write_images

from ovsam_pipeline import cli
from ovsam_pipeline.labelling import build as builders


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", 6)
    return tmp_path / "images"


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Run the command line in this process; gives exit code, stdout, stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    before = root.handlers

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["ovsam", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code or 0, out=captured.out, err=captured.err)

    yield run
    root.handlers = before
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def run_ovsam(run_command, monkeypatch):
    """The same, with fakes for the networks."""
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    return run_command

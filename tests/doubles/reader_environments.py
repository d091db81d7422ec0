"""Real readers of our exports, each in an environment of its own: for tests and benchmarks.

An environment is made once, in the cache. It sees our packages (torch is not installed twice), and
what a reader wants in other versions comes before them.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from filelock import FileLock

from ovsam.weights.files import find_cache_folder

_ROOT = Path(__file__).parents[2]


class NoIndexError(Exception):
    """Pip cannot install a reader here."""


def find_readers_folder() -> Path:
    """Return OVSAM_CONSUMERS, else a folder of the cache."""
    named = os.environ.get("OVSAM_CONSUMERS")
    return Path(named) if named else find_cache_folder() / "consumers"


def run_reader(packages: str, script: str, *arguments: object, is_alone: bool = False):
    """Install packages, separated by blanks, and return the last line of a script as JSON.

    `is_alone`: in an environment that does not see our packages, for what does not bear them.
    """
    folder = find_readers_folder() / packages.split()[0]
    python = _install(folder, packages.split(), is_alone=is_alone)
    done = subprocess.run(
        [python, "-c", script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _install(folder: Path, packages: list[str], *, is_alone: bool) -> Path:
    """Return the python of an environment with these packages; one folder for each reader."""
    python, done = folder / "bin" / "python", folder / "installed.txt"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if done.exists() and done.read_text() == " ".join(packages):
            return python
        if not python.exists():
            venv.create(folder, with_pip=True)
        if not is_alone:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            parent = folder / "lib" / version / "site-packages" / "parent.pth"
            parent.write_text(sysconfig.get_paths()["purelib"] + "\n")
        found = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages],
            check=False,
            capture_output=True,
            text=True,
        )
        if found.returncode:
            last = found.stderr.strip().splitlines()[-1:]
            raise NoIndexError(f"pip cannot install {' '.join(packages)}: {last}")
        done.write_text(" ".join(packages))
    return python

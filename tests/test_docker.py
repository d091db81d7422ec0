"""The Dockerfile, as far as a test without a builder can: docs/docker.md says what was tried."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch

import pytest
import typer
from locations import ROOT

from ovsam_pipeline.commands.contents import app

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def read_steps():
    """(word, rest) of each instruction, stage by stage."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    stages = []
    for line in filter(str.strip, lines):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM" or not stages:
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def find(word, steps):
    return [rest for name, rest in steps if name == word]


STAGES = read_steps()
FINAL = STAGES[-1]


def read_ignored():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_sent(path):
    """Whether a builder sees a file: the last rule that fits decides."""
    sent = True
    for rule in read_ignored():
        pattern = rule.removeprefix("!")
        parts = path.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        forms = [pattern, pattern.removeprefix("**/")]
        names = above if "/" in pattern and "**" not in pattern else [*above, *parts]
        if any(fnmatch(name, form) for name in names for form in forms):
            sent = rule.startswith("!")
    return sent


def test_files_that_are_copied_are_there_and_sent():
    copied = [
        name for steps in STAGES for rest in find("COPY", steps) for name in rest.split()[:-1]
    ]
    own = [name for name in copied if not name.startswith(("--from", "/"))]
    assert {"ovsam", "ovsam_pipeline", "configs", "pyproject.toml"} <= set(own)
    for name in own:
        assert (ROOT / name).exists()
        assert is_sent(name)


def test_files_of_the_package_are_sent():
    hatch = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*hatch["packages"], *hatch["force-include"], PROJECT["project"]["readme"]]
    assert all(is_sent(name) for name in [*needed, *PROJECT["project"]["license-files"]])
    assert is_sent("ovsam_pipeline/ui/static/ovsam.js")
    assert is_sent("ovsam/predictor.py")


@pytest.mark.parametrize(
    "name",
    [".git/config", ".env", "ovsam/.env.local", "labels/parts/a.parquet", ".venv/x", "id_rsa"],
)
def test_nothing_else_is_sent(name):
    assert not is_sent(name)


def test_extras_exist():
    [default] = [rest for rest in find("ARG", STAGES[1]) if rest.startswith("EXTRAS=")]
    assert default.partition("=")[2].strip('"') in PROJECT["project"]["optional-dependencies"]


def test_commands_of_the_image_are_those_of_the_package():
    [entry], [arguments] = (json.loads(*find(word, FINAL)) for word in ("ENTRYPOINT", "CMD"))
    assert entry in PROJECT["project"]["scripts"]
    assert arguments == "--help"
    [health] = find("HEALTHCHECK", FINAL)
    command = json.loads(health.partition("CMD ")[2])
    assert command[:2] == [entry, "doctor"]
    options = {
        name for p in typer.main.get_command(app).commands["doctor"].params for name in p.opts
    }
    assert set(filter(lambda text: text.startswith("-"), command)) <= options


def test_image_runs_as_nobody_special():
    [user] = find("USER", FINAL)
    assert int(user) > 0
    words = [word for word, _ in FINAL]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word == "RUN")


def test_cache_is_a_volume_that_the_package_uses():
    [volume] = json.loads(*find("VOLUME", FINAL))
    [env] = find("ENV", FINAL)
    values = dict(item.split("=", 1) for item in shlex.split(env))
    assert values["OVSAM_CACHE"].startswith(f"{volume}/")
    assert values["HF_HOME"].startswith(f"{volume}/")
    assert values["HOME"] == volume


def test_no_secret_is_built_in():
    named = [rest for steps in STAGES for word in ("ARG", "ENV") for rest in find(word, steps)]
    assert not re.search("TOKEN|SECRET|PASSW|KEY", " ".join(named))


def test_port_and_version_are_the_packages():
    serve = typer.main.get_command(app).commands["serve"]
    [port] = [parameter.default for parameter in serve.params if parameter.name == "port"]
    assert find("EXPOSE", FINAL) == [str(port)]
    assert f'VERSION="{PROJECT["project"]["version"]}"' in find("ARG", FINAL)

"""The recipes of docs/cluster.md: their commands parse, their files are what Ray and SLURM take."""

import copy
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from locations import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text()
RECIPES = ROOT / "examples" / "cluster"

# The fields of the custom resource (KubeRay 1.7.0's CRD) that the recipe may use.
RAY_JOB_FIELDS = {
    "entrypoint",
    "backoffLimit",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "activeDeadlineSeconds",
    "rayClusterSpec",
}
RAY_CLUSTER_FIELDS = {
    "rayVersion",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "authOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
WORKER_GROUP_FIELDS = {
    "groupName",
    "replicas",
    "minReplicas",
    "maxReplicas",
    "rayStartParams",
    "template",
}


def find_commands(text: str) -> list[str]:
    """Every `ovsam ...` command of indented or fenced code, of comments, and of YAML strings."""
    text = re.sub(r"\\\n\s*#?\s*", "", text)
    found = re.findall(r"(?:^|[\s'\"/;])(ovsam (?:label|detect|status|models) [^\n`;']*)", text)
    return sorted({command.split(" #")[0].strip() for command in found if "$" not in command})


def all_commands() -> list[str]:
    code = re.findall(r"^ {4}.*$|^```.*?^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = set(find_commands("\n".join(code)))
    for path in RECIPES.iterdir():
        commands |= set(find_commands(path.read_text()))
    return sorted(commands)


@pytest.mark.parametrize("command", all_commands())
def test_cluster_every_command_of_the_recipes_parses(command) -> None:
    import typer

    from ovsam_pipeline.commands.contents import app

    words = shlex.split(command)[1:]
    parser = typer.main.get_command(app)
    while words and words[0] in getattr(parser, "commands", {}):
        parser = parser.commands[words.pop(0)]
    assert not hasattr(parser, "commands"), f"{command}: no such command"
    parser.make_context(command, words)


def test_cluster_page_shows_commands() -> None:
    assert len(all_commands()) >= 6


def test_cluster_page_names_files_that_exist() -> None:
    named = re.findall(r"\b(?:examples|benchmarks|tests)/[\w./]+\w", PAGE)
    links = [f"docs/{link}" for link in re.findall(r"\]\(([\w./]+\.md)", PAGE)]
    assert len(named) >= 4
    assert links
    missing = [name for name in [*named, *links] if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("name", ["aws", "own_machines"])
def test_ray_up_recipe_fits_the_schema_of_ray(name) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    given = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    config = util.prepare_config(copy.deepcopy(given))
    config.setdefault("cluster_synced_files", [])
    util.validate_config(config)
    commands = given["head_start_ray_commands"][-1], given["worker_start_ray_commands"][-1]
    assert all("RAY_AUTH_MODE=token" in command for command in commands)


def test_kuberay_recipe_uses_fields_that_the_resource_has() -> None:
    job = yaml.safe_load((RECIPES / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= RAY_JOB_FIELDS
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) <= RAY_CLUSTER_FIELDS
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert set(group) <= WORKER_GROUP_FIELDS
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert container["image"].endswith(f":{cluster['rayVersion']}")
        assert group["rayStartParams"] is not None


def test_kuberay_entrypoint_is_done_when_some_images_failed(tmp_path) -> None:
    job = yaml.safe_load((RECIPES / "kuberay.yaml").read_text())
    write_program(tmp_path, "ovsam", "exit $FAKE_CODE")
    for code, expected in ((0, 0), (3, 0), (6, 6), (1, 1)):
        done = subprocess.run(
            ["bash", "-c", job["spec"]["entrypoint"]],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "FAKE_CODE": str(code)},
            check=False,
        )
        assert done.returncode == expected


def write_program(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/bash", *lines]) + "\n")
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path):
    """Stand-ins of SLURM, Ray and ovsam that write what they were called with into `calls`."""
    log = f'echo "$(basename $0) $*" >> {tmp_path}/calls'
    write_program(tmp_path, "scontrol", "printf 'one\\ntwo\\nthree\\n'")
    write_program(tmp_path, "srun", log, 'while [[ "$1" == --* ]]; do shift; done; exec "$@"')
    stay = "sleep 60 & sleeper=$!; trap 'kill $sleeper; exit 130' TERM; {}; wait"
    write_program(tmp_path, "ray", log, f'[ "$1" = status ] || {{ {stay.format("true")}; }}')
    # Both steps have been called before the command ends.
    both = f"until [ $(grep -c ^srun {tmp_path}/calls) = 2 ]; do sleep 0.05; done"
    wait = f'[ -z "$FAKE_WAIT" ] || {{ {stay.format(f"touch {tmp_path}/started")}; }}'
    write_program(tmp_path, "ovsam", log, both, wait, "exit $FAKE_CODE")

    def start(**env: str) -> subprocess.Popen:
        return subprocess.Popen(
            ["bash", str(RECIPES / "slurm.sh"), "photos", "-o", "labels"],
            env={
                "PATH": f"{tmp_path}:/usr/bin:/bin",
                "RAY_TMPDIR": str(tmp_path / "ray_folder"),
                "SLURM_JOB_ID": "4711",
                "SLURM_JOB_NODELIST": "any",
                "SLURM_CPUS_PER_TASK": "3",
                "FAKE_CODE": "0",
                **env,
            },
        )

    return start, tmp_path


@pytest.mark.parametrize("code", [0, 3, 6])
def test_slurm_script_exits_as_the_command_does(slurm, code) -> None:
    start, folder = slurm
    assert start(FAKE_CODE=str(code)).wait(20) == code
    calls = (folder / "calls").read_text()
    head, workers = sorted(re.findall(r"^srun .*$", calls, re.MULTILINE))
    assert "--nodes=1 " in head
    assert "--nodelist=one" in head
    assert "--head --port=24711" in head
    assert "--nodes=2 " in workers
    assert "--exclude=one" in workers
    assert "--address=one:24711" in workers
    assert "ovsam label photos -o labels --address one:24711" in calls


def test_slurm_script_passes_sigterm_on_and_ends_ray(slurm) -> None:
    start, folder = slurm
    running = start(FAKE_WAIT="1")
    deadline = time.monotonic() + 20
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 130


def test_slurm_script_says_when_ray_does_not_start(slurm, capfd) -> None:
    start, folder = slurm
    write_program(folder, "ray", "exit 1")
    assert start().wait(20) == 1
    assert "slurm.sh: no Ray on one" in capfd.readouterr().err
    assert "\novsam" not in (folder / "calls").read_text()

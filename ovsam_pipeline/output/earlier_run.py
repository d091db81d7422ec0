"""Settings of the run that filled an output folder, for a run that goes back to it.

Names in its run.json are relative to the folder where it was started, which need not be this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.output.folder import RUN_FILE, is_output, read_run_file
from ovsam_pipeline.output.place import check_store, may_be_output, parse_output
from ovsam_pipeline.storage.remote_path import AnyPath

# What labels depend on, and how they are made; limits and reports are each run's own business.
_TAKEN = (
    "classes",
    "labels",
    "class_map",
    "allow_unmatched",
    "relabel",
    "conf",
    "iou",
    "max_det",
    "vocabulary",
    "device",
    "compile",
    "batch",
    "workers",
    "engine",
    "address",
    "num_gpus",
    "num_actors",
    "gpus_per_actor",
    "cpus_per_actor",
    "image_timeout",
    "part_images",
    "part_seconds",
    "protocol",
)
# "auto" may mean something better by now, which would be other labels.
_TAKEN_RESOLVED = ("model", "detector", "dtype")
_PATHS = ("class_map", "relabel")
_PATHS_OR_NAMES = ("vocabulary", "model")
_LISTS = ("classes",)


def complete_retry(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `--retry-failed OUT`: those of the run that filled OUT.

    Args:
        values: settings that were given, by name; with `retry_failed`.

    Returns:
        `values` where the source is no output folder of ours: it holds images. Else the sources
        and settings of that run, `values` above them, and `only_failed`.

    Raises:
        ConfigError: OUT has no run.json with settings, another output is given, or a source of that
            run is not there any more.
        OutputError: run.json cannot be read.
    """
    sources: tuple[str, ...] = values.get("sources") or ()
    if len(sources) != 1 or not may_be_output(sources[0]):
        return dict(values)
    output = parse_output(sources[0])
    check_store(output)
    if not is_output(output):
        return dict(values)
    _refuse_contradictions(values, output)
    run = read_run_file(output)
    if "settings" not in run or "resolved" not in run:
        raise ConfigError(
            f"expected {output / RUN_FILE} to tell the sources and settings of {output}, and it "
            f"does not; say them: ovsam label SOURCES -o {output} --retry-failed"
        )
    folder, before = Path(run.get("working_folder", "")), run["settings"]
    taken = {name: before[name] for name in _TAKEN if name in before}
    taken |= {name: run["resolved"][name] for name in _TAKEN_RESOLVED}
    for names, join in ((_PATHS, join_folder), (_PATHS_OR_NAMES, join_file)):
        for name in names:
            if taken.get(name) is not None:
                taken[name] = join(folder, taken[name])
    taken["detector"] = _join_detector(folder, taken["detector"])
    taken |= {name: tuple(taken[name]) for name in _LISTS if name in taken}
    root = before.get("image_root")
    again = "ovsam label SOURCES -o {old} --retry-failed"
    return {
        **{name: value for name, value in taken.items() if value is not None},
        **({} if root is None else {"image_root": join_folder(folder, root)}),
        **values,
        "sources": tuple(find_source(name, folder, output, again) for name in before["sources"]),
        "output": str(output),
        "only_failed": True,
    }


def find_source(name: str, folder: Path, old: AnyPath, again: str) -> str:
    """Return a source of the run in `old`, whose working folder was `folder`.

    Args:
        name: as it was given to that run.
        folder: where that was started.
        old: its output.
        again: the command that names other sources, with {old} in it; for the message.

    Raises:
        ConfigError: it is not there any more.
    """
    if "://" in name:
        return name
    source = join_folder(folder, name)
    is_pattern = any(sign in source for sign in "*?[{#")
    if not is_pattern and not Path(source).expanduser().exists():
        raise ConfigError(
            f"{source}, a source of the run in {old} (it stands in {old / RUN_FILE}), is not "
            f"there; say where its images are now: {again.format(old=old)}"
        )
    return source


def join_folder(folder: Path, name: str) -> str:
    """Return what a path meant in a folder."""
    return name if name.startswith("~") or "://" in name else str(folder / name)


def join_file(folder: Path, name: str) -> str:
    """Return the file that a name meant there; the name itself where it is none ("lvis")."""
    return str(folder / name) if (folder / name).is_file() else name


def _join_detector(folder: Path, spec: str) -> str:
    """Do the same with the file of "boxes:FILE" and "gt:FILE#points"."""
    kind, sign, rest = spec.partition(":")
    if not sign:
        return join_file(folder, spec)
    name, points, _ = rest.partition("#points")
    is_there = (folder / name).exists()  # "hf:MODEL" is none
    return f"{kind}:{folder / name if is_there else name}{points}"


def _refuse_contradictions(values: Mapping[str, Any], output: AnyPath) -> None:
    given = values.get("output")
    if given is not None and parse_output(given).resolve() != output.resolve():
        raise ConfigError(
            f"--retry-failed {output} writes into that folder, and -o {given} is another one; "
            "leave -o out"
        )
    for name in ("prune", "relabel"):
        if values.get(name):
            raise ConfigError(
                f"--retry-failed {output} looks at failed images alone; leave --{name} out, or "
                f"give the sources: ovsam label SOURCES -o {output} --retry-failed"
            )
    if values.get("on_existing", "resume") != "resume":
        raise ConfigError(
            f"--retry-failed {output} goes on with what is there; leave --on-existing out"
        )

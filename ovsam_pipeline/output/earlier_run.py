"""The run.json of an output folder → settings for a run that retries or relabels its images.

Names in run.json are relative to the folder where that run was started, which may be another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.output.folder import RUN_FILE, is_output, read_run_file
from ovsam_pipeline.output.place import check_store, may_be_output, parse_output
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import list_settings, settle_values
from ovsam_pipeline.storage.remote_path import AnyPath

_PATHS = ("image_root", "class_map", "relabel")
_PATHS_OR_NAMES = ("vocabulary", "model")


def complete_retry(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `--retry-failed OUT`: those of the run that filled OUT.

    `values` are those that were given, by name, and win over that run's. Where their only source is
    not an output folder, it holds images, and they are returned as they are.
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
            f"{output / RUN_FILE} does not record the run's sources and settings; give them: "
            f"ovsam label SOURCES -o {output} --retry-failed"
        )
    taken: dict[str, Any] = {}
    for name, declared in list_settings(LabelConfig).items():
        recorded = run["resolved" if declared.retry == "resolved" else "settings"]
        if declared.retry != "own" and recorded.get(name) is not None:
            taken[name] = recorded[name]
    folder = Path(run.get("working_folder", ""))
    for names, join in ((_PATHS, join_folder), (_PATHS_OR_NAMES, join_file)):
        taken |= {name: join(folder, taken[name]) for name in names if name in taken}
    taken["detector"] = _join_detector(folder, taken["detector"])
    again = "ovsam label SOURCES -o {old} --retry-failed"
    return {
        **settle_values(LabelConfig, taken),
        **values,
        "sources": tuple(
            find_source(name, folder, output, again) for name in run["settings"]["sources"]
        ),
        "output": str(output),
        "only_failed": True,
    }


def find_source(name: str, folder: Path, old: AnyPath, again: str) -> str:
    """Return where a source of the run in `old` is now, seen from here.

    `folder` is the one where that run was started, `again` the command that gives other sources,
    with {old} in it, for the message.
    """
    if "://" in name:
        return name
    source = join_folder(folder, name)
    is_pattern = any(sign in source for sign in "*?[{#")
    if not is_pattern and not Path(source).expanduser().exists():
        raise ConfigError(
            f"source '{source}' recorded in {old / RUN_FILE} does not exist; give its new "
            f"location: {again.format(old=old)}"
        )
    return source


def join_folder(folder: Path, name: str) -> str:
    """Return what a path meant in the folder of an earlier run."""
    return name if name.startswith("~") or "://" in name else str(folder / name)


def join_file(folder: Path, name: str) -> str:
    """Do the same where the name is a file there; others ("lvis") stay as they are."""
    return str(folder / name) if (folder / name).is_file() else name


def _join_detector(folder: Path, spec: str) -> str:
    """Do the same with the file in "boxes:FILE" and "gt:FILE#points"."""
    kind, sign, rest = spec.partition(":")
    if not sign:
        return join_file(folder, spec)
    name, points, _ = rest.partition("#points")
    is_there = (folder / name).exists()  # the rest of "hf:MODEL" is not a file
    return f"{kind}:{folder / name if is_there else name}{points}"


def _refuse_contradictions(values: Mapping[str, Any], output: AnyPath) -> None:
    given = values.get("output")
    if given is not None and parse_output(given).resolve() != output.resolve():
        raise ConfigError(
            f"--retry-failed {output} writes into that folder, but -o {given} is another one; "
            "drop -o"
        )
    for name in ("prune", "relabel"):
        if values.get(name):
            raise ConfigError(
                f"--retry-failed {output} labels failed images only; drop --{name}, or give "
                f"the sources: ovsam label SOURCES -o {output} --retry-failed"
            )
    if values.get("on_existing", "resume") != "resume":
        raise ConfigError(f"--retry-failed {output} resumes that output; drop --on-existing")

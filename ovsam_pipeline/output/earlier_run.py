"""The run.json of an output folder → settings for a run that retries or relabels its images.

Names in run.json are relative to the folder where that run was started, which may be another one.
An output is data that people hand on: what in it could name code to run or an address to ask is not
taken, but asked for again on the command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError
from ovsam.text.vocabulary_files import join_examples, split_examples
from ovsam_pipeline.output.folder import RUN_FILE, is_output, read_run_file
from ovsam_pipeline.output.place import check_store, may_be_output, parse_output
from ovsam_pipeline.settings.label import CLUSTER_SETTINGS, LabelConfig
from ovsam_pipeline.settings.setting import list_settings, settle_values
from ovsam_pipeline.storage.remote_path import AnyPath, is_there

_PATHS = ("image_root", "class_map", "relabel")
_PATHS_OR_NAMES = ("model",)
_VOCABULARIES = ("vocabulary",)
# Detectors that are programs, or that a server is asked for.
_FOREIGN_DETECTORS = ("python:", "detectron2:", "hf:")
_ADDRESS = re.compile(r"[\w+.-]+://.*")


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
    if not run.get("settings", {}).get("sources") or "detector" not in run.get("resolved", {}):
        raise ConfigError(
            f"{output / RUN_FILE} does not record the run's sources and settings; give them: "
            f"ovsam label SOURCES -o {output} --retry-failed"
        )
    taken = _take_settings(run, values, output)
    folder = Path(run.get("working_folder", ""))
    for names, join in (
        (_PATHS, join_folder),
        (_PATHS_OR_NAMES, join_file),
        (_VOCABULARIES, join_vocabulary),
    ):
        taken |= {name: join(folder, taken[name]) for name in names if name in taken}
    if "detector" in taken:
        taken["detector"] = _join_detector(folder, taken["detector"])
    again = "ovsam label SOURCES -o {old} --retry-failed"
    return {
        **taken,
        **values,
        "sources": tuple(
            find_source(name, folder, output, again) for name in run["settings"]["sources"]
        ),
        "output": str(output),
        "only_failed": True,
    }


def _take_settings(
    run: Mapping[str, Any], given: Mapping[str, Any], output: AnyPath
) -> dict[str, Any]:
    """Return the settings of an earlier run that this one does not give; see `complete_retry`.

    Raises:
        ConfigError: a recorded value cannot be one, or must be given on the command line.
    """
    recorded: dict[str, Any] = {}
    for name, declared in list_settings(LabelConfig).items():
        value = run["resolved" if declared.retry == "resolved" else "settings"].get(name)
        if declared.retry != "own" and value is not None:
            recorded[name] = value
    try:
        taken = settle_values(LabelConfig, recorded)
        sources = list_settings(LabelConfig)["sources"].settle(run["settings"]["sources"])
    except ConfigError as error:
        raise ConfigError(
            f"cannot take the settings of {output / RUN_FILE}: {error}; give them: "
            f"ovsam label SOURCES -o {output} --retry-failed"
        ) from error
    if "engine" in given or any(name in given for name in CLUSTER_SETTINGS):
        # Where to compute was decided anew.
        taken = {k: v for k, v in taken.items() if k not in ("engine", *CLUSTER_SETTINGS)}
    taken = {name: value for name, value in taken.items() if name not in given}
    asked = {name: value for name, value in taken.items() if _must_be_given(name, value, output)}
    command = ["ovsam", "label", "--retry-failed", str(output), *_write_flags(asked)]
    if has_foreign_address(sources, output):
        asked["sources"] = sources
        default = LabelConfig(sources=sources)
        changed = {name: v for name, v in taken.items() if v != getattr(default, name)}
        flags = ("-o", str(output), "--retry-failed", *_write_flags(changed))
        command = ["ovsam", "label", *sources, *flags]
    if asked:
        raise ConfigError(
            f"{output / RUN_FILE} names {_describe(asked)}: data may not choose which program "
            f"runs or which address is asked. If it is yours, type it: {shlex.join(command)}"
        )
    return taken


def _must_be_given(name: str, value: Any, output: AnyPath) -> bool:
    """Whether a recorded value could name a program, or a machine to ask."""
    if name == "engine":
        return value == "ray"
    if name in CLUSTER_SETTINGS:
        return True
    if name == "detector" and value.startswith(_FOREIGN_DETECTORS):
        return True
    return isinstance(value, str) and has_foreign_address([value], output)


def has_foreign_address(texts: Iterable[str], output: AnyPath) -> bool:
    """Whether one of the texts has an address outside the store that `output` is on.

    That store was named by who typed the address of the output.
    """
    scheme, found, rest = str(output).partition("://")
    own = f"{scheme}://{rest.partition('/')[0]}/" if found else None
    addresses = [address for text in texts for address in _ADDRESS.findall(text)]
    return any(
        own is None or not address.startswith(own) or "?" in address for address in addresses
    )


def _write_flags(values: Mapping[str, Any]) -> list[str]:
    """Return settings as they are typed."""
    typed = []
    for name, declared in list_settings(LabelConfig).items():
        if name not in values or not declared.flag.startswith("--"):
            continue
        value = values[name]
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        typed += [declared.flag] if value is True else [declared.flag, text]
    return typed


def _describe(asked: Mapping[str, Any]) -> str:
    """Return "the detector python:x.py and the address head:6379"."""
    settings = list_settings(LabelConfig)
    words = [
        f"{settings[name].flag} {value}" if name != "sources" else "sources at addresses"
        for name, value in asked.items()
    ]
    return " and ".join(words)


def find_source(name: str, folder: Path, old: AnyPath, again: str) -> str:
    """Return where a source of the run in `old` is now, seen from here.

    `folder` is the one where that run was started, `again` the command that gives other sources,
    with {old} in it, for the message.
    """
    if "://" in name:
        return name
    source = join_folder(folder, name)
    is_pattern = any(sign in source for sign in "*?[{#")
    if not is_pattern and not is_there(Path(source).expanduser()):
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
    is_file = is_there(folder / name) and (folder / name).is_file()
    return str(folder / name) if is_file else name


def join_vocabulary(folder: Path, name: str) -> str:
    """Do the same with the files of a vocabulary's name, such as "coco+examples:refs.json"."""
    names, *files = split_examples(name)
    return join_examples(join_file(folder, names), (join_folder(folder, file) for file in files))


def _join_detector(folder: Path, spec: str) -> str:
    """Do the same with the file in "boxes:FILE" and "gt:FILE#points"."""
    kind, sign, rest = spec.partition(":")
    if not sign:
        return join_file(folder, spec)
    name, points, _ = rest.partition("#points")
    # Another kind may have no file.
    return f"{kind}:{folder / name if is_there(folder / name) else name}{points}"


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

"""`ovsam status`: the progress of the run that writes an output folder, from another process."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ovsam_pipeline.outcomes import count_things


def status(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Output folder of `ovsam label` or `detect`.")
    ],
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "-w", help="Keep printing a line every few seconds until the run ends."
        ),
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two lines of --watch.")
    ] = 5.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with --watch one per line.")
    ] = False,
) -> None:
    """Show the progress of a run, or how the last one ended.

    Reads OUT/status.json, which a run replaces every few seconds; the run is not disturbed.

    Exit codes: 0 while a run is in progress; else that of the last run (see `ovsam label`), 1 where
    it died and did not record its end; 2 where OUT is not an output folder.

    Examples:
        ovsam status labels --watch
        ovsam status s3://bucket/labels --json
    """
    import time

    from ovsam_pipeline.monitoring.run_state import read_status
    from ovsam_pipeline.output.place import find_output
    from ovsam_pipeline.terminal.app import print_json, print_result

    folder = find_output(output)
    found = read_status(folder)
    while watch and found["state"] == "running":
        if json:
            print_json(found, indent=None)
        else:
            print_result(format_status(found)[-1])
        time.sleep(every)
        found = read_status(folder)
    if json:
        print_json(found, indent=None if watch else 2)
    else:
        print_result(*format_status(found))
    raise typer.Exit(found["exit_code"] or 0)


def format_status(found: dict[str, Any]) -> list[str]:
    """Return the status line by line: the state of the run, then how far it is."""
    from ovsam_pipeline.monitoring.progress import format_progress

    since = f"since {found['started']}" if found["started"] else ""
    where = f"process {found['process']} on {found['host']}" if found.get("process") else ""
    state = found["state"]
    lines = [f"{_SENTENCES.get(state, state)} ({', '.join(filter(None, (where, since)))})"]
    if state == "running":
        lines = [f"running, {_PHASES[found['phase']]} ({where}, {since})"]
    elif state == "unknown":
        lines = ["no finished run is recorded here"]
    if found["error"]:
        lines.append(f"  {found['error']}")
    lines += [f"  {line}" for line in _describe_workers(found)]
    times = found["phase_seconds"]
    if times:
        lines.append("  " + ", ".join(f"{name} {spent:.1f} s" for name, spent in times.items()))
    if found["progress"]:
        lines.append(format_progress(found["progress"]))
    return lines


_PHASES = {
    "list": "listing images",
    "load": "loading the model",
    "plan": "comparing with what is there",
    "label": "labelling",
    "export": "writing annotations.json",
    None: "ending",
}
_SENTENCES = {
    "finished": "finished",
    "interrupted": "interrupted; run the same command again",
    "time limit": "stopped at its time limit; run the same command again",
    "over budget": "stopped: too many images failed",
    "failed": "failed",
    "died": "the run died; run the same command again",
}


def _describe_workers(found: dict[str, Any]) -> list[str]:
    """Return one line per worker of a run in progress, where there are several."""
    workers = found["progress"].get("workers", []) if found["state"] == "running" else []
    if len(workers) < 2:
        return []
    lines = []
    for worker in workers:
        parts = [count_things(worker["done"], "image"), f"{worker['images_per_s']:.2f}/s"]
        if worker["gpu_memory_used"] is not None:
            parts.append(f"GPU memory {worker['gpu_memory_used'] / 2**30:.1f} GiB")
        if worker["gpu_utilisation"] is not None:
            parts.append(f"GPU {100 * worker['gpu_utilisation']:.0f} %")
        lines.append(f"{worker['name']}: {worker['state']}, {', '.join(parts)}")
    return lines

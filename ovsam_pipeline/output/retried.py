"""OUT/retrying.json: which failed images a `--retry-failed` run took out and has not labelled yet.

Their rows go before they are labelled again. If the run is cut off, nothing else says that they
ever failed, and the same command would find nothing to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

RETRYING_FILE = "retrying.json"


def note_retried(output: AnyPath, file_names: Iterable[str]) -> None:
    """Write down images before their failed rows are removed.

    Raises:
        OutputError: the file cannot be written.
    """
    content = json.dumps(sorted(file_names), ensure_ascii=False).encode()
    write_atomically(output / RETRYING_FILE, content)


def read_retried(output: AnyPath) -> set[str]:
    """Return the images that an earlier retry took out and may not have reached.

    Raises:
        OutputError: the file is there and cannot be read.
    """
    try:
        return set(json.loads((output / RETRYING_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(
            f"cannot read {output / RETRYING_FILE}, the images of a retry that was cut off: "
            f"{error}; remove it, and label the sources again to try them"
        ) from error


def forget_retried(output: AnyPath) -> None:
    """Remove the list: all its images have a row.

    Raises:
        OutputError: the file cannot be removed.
    """
    try:
        (output / RETRYING_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove {output / RETRYING_FILE}: {error}") from error

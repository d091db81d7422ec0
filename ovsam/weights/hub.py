"""A name of known_weights.py → its files on this machine, fetched and checked.

Weights are never in this repository (but for the embedded `nano`) and never fetched silently:
`fetch_model` downloads after the licence was accepted once, `locate` only looks. Files of the hub
stay in the Hugging Face cache (HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are respected),
others go to ovsam's. What was accepted and found is recorded in that cache's `licences.json` and
`checksums.json`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from huggingface_hub import constants

from ovsam.checked_json import parse_json
from ovsam.errors import DownloadError
from ovsam.weights.download import Progress, check_md5, check_sha256, download, explain_disk_errors
from ovsam.weights.files import find_cache_folder, write_atomically
from ovsam.weights.known_weights import KNOWN_MODELS, Licence, WeightFile, get_known_model

logger = logging.getLogger(__name__)

_DATA = Path(__file__).parent.parent / "data"
DEFAULT_MODEL = "photo"
"""What labels where no real weights are on this machine: embedded, so always there."""


def locate(name: str) -> tuple[Path, ...] | None:
    """Return the files of a name if all are on this machine, else None; no network."""
    model = get_known_model(name)
    if not model.files:
        path = _DATA / name / "model.safetensors"
        return (path,) if path.exists() else None
    paths = [find_file(file) for file in model.files]
    return tuple(path for path in paths if path is not None) if None not in paths else None


def require(name: str) -> tuple[Path, ...]:
    """Return the files of a name; a DownloadError with the command to fetch what is missing."""
    paths = locate(name)
    if paths is None:
        size = KNOWN_MODELS[name].size_text
        raise DownloadError(
            f"the weights {name!r} are not on this machine; fetch them once with "
            f"`ovsam models fetch {name}` ({size}), or give the path of a file"
        )
    return paths


def best_cached_model() -> str:
    """Return the name of the best labelling weights on this machine: `photo` if there are none."""
    for model in KNOWN_MODELS.values():
        if model.trained_on and model.files and locate(model.name) is not None:
            return model.name
    return DEFAULT_MODEL


def fetch_model(
    name: str, *, accept_licence: bool = False, progress: Progress | None = None
) -> tuple[Path, ...]:
    """Download what is missing of a name's files, check them, and return all of them.

    `accept_licence` is a person's answer; it is recorded and not needed again. `progress` is called
    with (bytes on disk, bytes in all) for files outside the hub, whose library draws its own bar.
    """
    model = get_known_model(name)
    if not model.files:
        return require(name)
    return fetch_files(name, model.files, accept_licence=accept_licence, progress=progress)


def fetch_files(
    name: str,
    files: Sequence[WeightFile],
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Do as `fetch_model` for given files, which `name` stands for in messages."""
    for licence in unaccepted_licences(file.licence for file in files):
        if not accept_licence:
            raise DownloadError(
                f"{name} is under the {licence.title}: {licence.summary} Read {licence.url}, "
                f"then accept it with `ovsam models fetch {name} --accept-license`"
            )
        _record("licences.json", licence.title, {"model": name, "url": licence.url})
    return tuple(_fetch_file(file, progress) for file in files)


def unaccepted_licences(licences: Iterable[Licence]) -> tuple[Licence, ...]:
    """Return the restricting ones of some licences that nobody accepted here yet, each once."""
    accepted = _read_record("licences.json")
    wanted = dict.fromkeys(item for item in licences if item.restricts)
    return tuple(item for item in wanted if item.title not in accepted)


def find_file(file: WeightFile) -> Path | None:
    """Return where a file is on this machine, or None; no network."""
    if file.url:
        path = _url_target(file)
        return path if path.exists() else None
    from huggingface_hub import try_to_load_from_cache

    for name in file.names:
        found = try_to_load_from_cache(file.repo_id, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _fetch_file(file: WeightFile, progress: Progress | None) -> Path:
    found = find_file(file)
    if found is not None and file.url:
        return found
    if found is not None and constants.HF_HUB_OFFLINE:
        return _check_hub_file(found, file)
    if file.url:
        if constants.HF_HUB_OFFLINE:
            raise DownloadError(_offline_message(file))
        logger.info("fetching %s", file.origin)
        path = download(file.url, _url_target(file), sha256=file.sha256, progress=progress)
        if file.sha256 is None:
            _record_url_file(path, file)
        return path
    return _check_hub_file(_fetch_from_hub(file), file)


def _record_url_file(path: Path, file: WeightFile) -> None:
    """Record the sha256 of a file that was published without one; compare its md5 if known."""
    if file.md5_start and not check_md5(path, file.md5_start):
        logger.warning(
            "%s differs from what its publisher states (its md5 should begin with %s): it may have "
            "changed, or arrived damaged",
            file.origin,
            file.md5_start,
        )
    entry = {"sha256": check_sha256(path, None, file.url), "size_bytes": path.stat().st_size}
    _record("checksums.json", file.url, entry)


def _url_target(file: WeightFile) -> Path:
    return find_cache_folder() / "weights" / file.names[0]


def _fetch_from_hub(file: WeightFile) -> Path:
    """Let huggingface_hub fetch the first of the file's names that the repository has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        EntryNotFoundError,
        HTTPError,
        LocalEntryNotFoundError,
    )
    from huggingface_hub.utils.logging import set_verbosity_error
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    set_verbosity_error()  # a failure becomes one sentence below
    logger.info("fetching %s", file.origin)
    target = Path(file.repo_id) / file.names[0]
    for name in file.names:
        try:
            with explain_disk_errors(target):
                return Path(hf_hub_download(file.repo_id, name))
        except LocalEntryNotFoundError as error:  # also an EntryNotFoundError
            raise DownloadError(_describe_hub_error(file, error)) from error
        except EntryNotFoundError:
            continue
        except (HTTPError, OSError) as error:
            raise DownloadError(_describe_hub_error(file, error)) from error
    raise DownloadError(
        f"the hub repository {file.repo_id} has none of {', '.join(file.names)}; it has changed: "
        "look for a newer ovsam, or load a file that you have by path"
    )


def _describe_hub_error(file: WeightFile, error: Exception) -> str:
    """Return what failed and what to do about it, from an error of huggingface_hub."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    reason = error.__cause__ or error
    answers = (getattr(each, "response", None) for each in (error, reason))
    status = next((answer.status_code for answer in answers if answer is not None), None)
    if isinstance(error, GatedRepoError | RepositoryNotFoundError) or status in (401, 403):
        return (
            f"the hub refuses {file.origin} (HTTP {status}); where a repository is private or "
            "gated, accept its terms there and set HF_TOKEN, or run `hf auth login`"
        )
    if status is not None:
        return f"cannot download {file.origin}: HTTP {status}; try again later"
    if constants.HF_HUB_OFFLINE:
        return _offline_message(file)
    return (
        f"cannot download {file.origin} from {constants.ENDPOINT}: {reason}; check the connection, "
        "the proxy or HF_ENDPOINT (a mirror), and run the same command again"
    )


def _offline_message(file: WeightFile) -> str:
    return (
        f"{file.origin} is not on this machine and HF_HUB_OFFLINE is set; unset it to download, or "
        "copy the cache folders of a machine that has it (HF_HOME and OVSAM_CACHE)"
    )


def _check_hub_file(path: Path, file: WeightFile) -> Path:
    """Check a hub file once: by the published sha256, the hub's own, or the one recorded before."""
    checksums = _read_record("checksums.json")
    key = f"{file.repo_id}/{path.name}"
    blob = path.resolve()
    entry = checksums.get(key, {})
    if entry.get("blob") == blob.name and entry.get("size_bytes") == blob.stat().st_size:
        return path
    # The hub names the blobs of large files by their sha256, and those of small ones otherwise.
    of_hub = blob.name if len(blob.name) == 64 else None
    try:
        found = check_sha256(blob, file.sha256 or of_hub, file.origin)
    except DownloadError:
        path.unlink(missing_ok=True)  # a link; `check_sha256` has removed the blob
        raise
    if entry and entry["sha256"] != found:
        logger.warning("%s has changed since it was first downloaded (sha256)", file.origin)
    size_bytes = blob.stat().st_size
    _record("checksums.json", key, {"sha256": found, "blob": blob.name, "size_bytes": size_bytes})
    return path


def _read_record(file_name: str) -> dict[str, dict[str, object]]:
    path = find_cache_folder() / file_name
    try:
        content = parse_json(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s is damaged and ignored: %s", path, error)
        return {}
    return content if isinstance(content, dict) else {}


def _record(file_name: str, key: str, entry: dict[str, object]) -> None:
    path = find_cache_folder() / file_name
    entries = _read_record(file_name)
    entries[key] = {**entry, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    with explain_disk_errors(path):
        write_atomically(path, (json.dumps(entries, indent=1) + "\n").encode())

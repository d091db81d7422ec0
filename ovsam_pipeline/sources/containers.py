"""Files that hold many images: which suffixes do, and what is refused.

A file of any other suffix is an image itself.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.entry import Entry, get_suffix
from ovsam_pipeline.sources.parquet import list_parquet
from ovsam_pipeline.sources.tar import list_tar
from ovsam_pipeline.storage.remote_path import RemotePath

CONTAINER_SUFFIXES = (".tar", ".parquet")
_AT_ONCE = 8
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_UNREAD = (".zip", ".7z", ".rar", ".csv", ".jsonl", ".yaml", ".yml", ".arrow")


def check_container(text: str) -> None:
    """Refuse files that hold many things and cannot be read.

    Raises:
        SourceError: a compressed archive, a table of text, a single Arrow file.
    """
    name = text.lower()
    if name.endswith(_COMPRESSED):
        raise SourceError(
            f"expected a plain .tar, got {text}: images inside a compressed archive cannot be "
            "reached one by one; decompress it first (gunzip, zstd -d, …)"
        )
    if name.endswith(_UNREAD):
        raise SourceError(
            f"expected images, a list (.txt), a COCO JSON file, .tar or .parquet, got {text}"
        )


def open_containers(
    entries: Iterator[Entry], column: str | None, passed: Counter[str]
) -> Iterator[Entry]:
    """Yield what `open_container` does for each entry, in order.

    Archives on an object store are listed several at once: most of the time is waiting.
    """
    pool = ThreadPoolExecutor(_AT_ONCE, "ovsam-archive")
    waiting: deque[Future[tuple[list[Entry], Counter[str]]]] = deque()
    try:
        for entry in entries:
            is_far = get_suffix(entry.name) in CONTAINER_SUFFIXES and not isinstance(
                entry.place, str | Path
            )
            if is_far:
                waiting.append(pool.submit(_list_container, entry, column))
            while waiting and (len(waiting) > _AT_ONCE or not is_far):
                yield from _take(waiting.popleft(), passed)
            if not is_far:
                yield from open_container(entry, column, passed)
        while waiting:
            yield from _take(waiting.popleft(), passed)
    finally:
        pool.shutdown(cancel_futures=True)


def _list_container(entry: Entry, column: str | None) -> tuple[list[Entry], Counter[str]]:
    passed: Counter[str] = Counter()
    return list(open_container(entry, column, passed)), passed


def _take(listed: Future[tuple[list[Entry], Counter[str]]], passed: Counter[str]) -> list[Entry]:
    entries, others = listed.result()
    passed.update(others)
    return entries


def open_container(entry: Entry, column: str | None, passed: Counter[str]) -> Iterator[Entry]:
    """Yield the images of an archive or Parquet file; the entry itself where it is neither.

    Raises:
        SourceError: it cannot be read as what its suffix says.
    """
    suffix = get_suffix(entry.name)
    if suffix not in CONTAINER_SUFFIXES:
        check_container(entry.name)
        yield entry
        return
    file = Path(entry.place) if isinstance(entry.place, str) else entry.place
    if not isinstance(file, Path | RemotePath):
        raise SourceError(
            f"expected archives here or on an object store (s3://, gs://, az://), got {file}: "
            "download it"
        )
    state = f"{entry.size_bytes}:{entry.mtime_ns}"
    if suffix == ".tar":
        yield from list_tar(file, entry.name, state, passed)
    else:
        yield from list_parquet(file, entry.name, state, column)

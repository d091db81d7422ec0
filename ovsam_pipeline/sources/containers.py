"""Files that hold many images: which suffixes do, and what is refused.

A file of any other suffix is an image itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.left_out import LeftOut, get_suffix
from ovsam_pipeline.sources.place import check_regular
from ovsam_pipeline.sources.tables import list_parquet
from ovsam_pipeline.sources.tar import list_tar
from ovsam_pipeline.storage.remote_path import RemotePath

CONTAINER_SUFFIXES = (".tar", ".parquet")
# Each holds a window of 4 MiB and the records of its images.
_ARCHIVES_AT_ONCE = 8
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
# What holds images and is not read, and what to do: as an image it would be a failed row.
_REMEDIES = {
    "unpack it and name the folder": (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst"),
    "take pictures out of it first (ffmpeg -i VIDEO FOLDER/%05d.jpg) and name their folder": (
        ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts",
        ".3gp",
    ),
    "export its pages as PNG and name their folder": (".pdf", ".ps", ".eps"),
    "write a .txt list with one path or address per line": (
        ".csv", ".tsv", ".jsonl", ".yaml", ".yml", ".xml", ".xlsx", ".html",
    ),
    "convert it to .parquet, or write its images as files": (
        ".arrow", ".feather", ".h5", ".hdf5", ".npy", ".npz", ".tfrecord", ".lmdb", ".pkl",
    ),
}  # fmt: skip


def check_container(text: str) -> None:
    """Refuse files that hold many things and cannot be read."""
    name = text.lower()
    if name.endswith(_COMPRESSED):
        raise SourceError(
            f"expected a plain .tar, got {text}: images inside a compressed archive cannot be "
            "reached one by one; decompress it first (gunzip, zstd -d, …)"
        )
    for remedy, suffixes in _REMEDIES.items():
        if name.endswith(suffixes):
            raise SourceError(
                f"expected images, a list (.txt), a COCO JSON file, .tar or .parquet, got {text}: "
                f"{remedy}"
            )


def open_containers(
    files: Iterator[ImageRecord], column: str | None, left_out: LeftOut
) -> Iterator[ImageRecord]:
    """Yield what `open_container` does for each file, in order.

    Archives on an object store are listed several at once: most of the time is waiting.
    """
    pool = ThreadPoolExecutor(_ARCHIVES_AT_ONCE, "ovsam-archive")
    waiting: deque[Future[tuple[list[ImageRecord], LeftOut]]] = deque()
    try:
        for file in files:
            is_far = isinstance(file.path, RemotePath) and _is_container(file)
            if is_far:
                waiting.append(
                    pool.submit(_list_container, file, column, LeftOut(left_out.exclude))
                )
            # Before a file that is not listed in the pool, all that is in it: the order is kept.
            while waiting and (len(waiting) > _ARCHIVES_AT_ONCE or not is_far):
                yield from _take(waiting.popleft(), left_out)
            if not is_far:
                yield from open_container(file, column, left_out)
        while waiting:
            yield from _take(waiting.popleft(), left_out)
    finally:
        pool.shutdown(cancel_futures=True)


def _list_container(
    file: ImageRecord, column: str | None, left_out: LeftOut
) -> tuple[list[ImageRecord], LeftOut]:
    return list(open_container(file, column, left_out)), left_out


def _take(
    listed: Future[tuple[list[ImageRecord], LeftOut]], left_out: LeftOut
) -> list[ImageRecord]:
    records, others = listed.result()
    left_out.add(others)
    return records


def open_container(
    file: ImageRecord, column: str | None, left_out: LeftOut
) -> Iterator[ImageRecord]:
    """Yield the images of an archive or Parquet file; the file itself where it is neither."""
    if not _is_container(file):
        check_container(file.file_name)
        yield file
        return
    if not isinstance(file.path, Path | RemotePath):
        raise SourceError(
            "expected archives here or on an object store (s3://, gs://, az://), got "
            f"{file.path}: download it"
        )
    check_regular(file.path, str(file.path))
    # In the identity of every image inside: an archive that is written anew has new images.
    state = f"{file.size_bytes}:{file.mtime_ns}"
    if get_suffix(file.file_name) == ".tar":
        yield from list_tar(file.path, file.file_name, state, left_out)
    else:
        yield from list_parquet(file.path, file.file_name, state, column)


def _is_container(file: ImageRecord) -> bool:
    return get_suffix(file.file_name) in CONTAINER_SUFFIXES

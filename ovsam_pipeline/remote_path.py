"""PLACEHOLDER by H4 until H3's file comes: overwrite it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

__all__ = ["RemotePath", "is_remote", "parse_path"]


def is_remote(text: str) -> bool:
    return "://" in text


def parse_path(text: str) -> Any:
    return RemotePath(text.rstrip("/")) if is_remote(text) else Path(text)


def _fs(scheme: str) -> Any:
    import pyarrow.fs as fs

    if scheme == "s3":
        return fs.S3FileSystem(endpoint_override=os.environ.get("AWS_ENDPOINT_URL"))
    import fsspec

    return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))


@dataclass(frozen=True)
class RemotePath:
    uri: str
    _stat: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.uri.rstrip("/") + "/" + name)

    @property
    def _key(self) -> str:
        return self.uri.partition("://")[2].partition("?")[0]

    def __reduce__(self) -> Any:
        return RemotePath, (self.uri,)

    @property
    def name(self) -> str:
        return PurePosixPath(self._key).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self._key).suffix

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self.uri.rstrip("/").rpartition("/")[0])

    @property
    def _fs(self) -> Any:
        return _fs(urlsplit(self.uri).scheme)

    def _info(self) -> Any:
        return self._stat or self._fs.get_file_info(self._key)

    def exists(self) -> bool:
        return bool(self._info().type != 0)

    def is_dir(self) -> bool:
        return self._info().type_.name == "Directory" if False else self._info().type == 3

    def is_file(self) -> bool:
        return bool(self._info().is_file)

    def stat(self) -> os.stat_result | Any:
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(self.uri)

        class S:
            st_size = info.size
            st_mtime_ns = info.mtime_ns or 0

        return S

    def iterdir(self) -> Iterator[RemotePath]:
        import pyarrow.fs as fs

        scheme = urlsplit(self.uri).scheme
        for info in self._fs.get_file_info(fs.FileSelector(self._key)):
            yield RemotePath(f"{scheme}://{info.path}", info)

    def read_bytes(self) -> bytes:
        with self._fs.open_input_file(self._key) as stream:
            return bytes(stream.read())

    def open(self, mode: str = "rb") -> IO[bytes]:
        return self._fs.open_input_file(self._key)

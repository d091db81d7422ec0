"""An address on an object store that can be used like the path of a file.

An object is written by one upload and so is whole or absent. There are no folders, only prefixes of
keys, and nothing can be renamed. Errors are OSErrors of the classes that files raise.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from ovsam_pipeline.storage.checksum import ContentCheck
from ovsam_pipeline.storage.object_stores import (
    explain_store_errors,
    has_buckets,
    is_without_reason,
    open_store,
)
from ovsam_pipeline.storage.retry import retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow.fs

_T = TypeVar("_T")
# One request of a store costs as much as this many bytes; what reads in small pieces is slow else.
_READ_AHEAD_BYTES = 1 << 16
_OPTIONS = re.compile(r"\?(endpoint_override|region|scheme|access_key|secret_key)=")


class ObjectState(NamedTuple):
    """What a listing gives of an object, under the names of `os.stat`.

    The time is when it was written by the store's clock; 0 where the store does not report it.
    """

    st_size: int
    st_mtime_ns: int


def is_remote(text: str) -> bool:
    """Whether a text is an address ("s3://bucket/key"), not a path of this machine."""
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()


def parse_path(text: str) -> Path | RemotePath:
    """Return what a text names: an address, or a path of this machine ("~" expanded)."""
    return RemotePath(text.rstrip("/")) if is_remote(text) else Path(text).expanduser()


@dataclass(frozen=True)
class RemotePath:
    """An object, or the prefix of some: scheme, bucket and key, without a final slash.

    Named and used like `pathlib.Path`; `_info` is the state that a listing gave.
    """

    uri: str
    _info: pyarrow.fs.FileInfo | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError for an address without a bucket, and for one with options."""
        if _OPTIONS.search(self.uri):
            raise ValueError(
                f"expected an address without options, got {self.uri}; set AWS_ENDPOINT_URL or "
                "AWS_REGION instead"
            )
        is_nameless = has_buckets(self._scheme) and self._key.startswith("/")
        if is_nameless or not self._key.strip("/"):
            raise ValueError(f"expected an address like s3://bucket/folder, got {self.uri}")

    def __str__(self) -> str:
        """Return the address."""
        return self.uri

    def __fspath__(self) -> str:
        """Raise: else `open` would take the address for a local path and make a folder "s3:"."""
        raise TypeError(f"{self.uri} is not a local file")

    def __truediv__(self, name: str) -> RemotePath:
        """Return the address below this one."""
        return RemotePath(f"{self.uri}/{name}")

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        """Pickle the address alone: the state is old when another process reads it."""
        return RemotePath, (self.uri,)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self._key).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self._key).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot."""
        return PurePosixPath(self._key).suffix

    @property
    def parent(self) -> RemotePath:
        """The address without its last part; a bucket is its own parent."""
        head, _, _ = self.uri.rpartition("/")
        return self if head.endswith("/") else RemotePath(head)

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        """The address without its last part, its last two, and so on up to the bucket."""
        above = self.parent
        return () if above == self else (above, *above.parents)

    def absolute(self) -> RemotePath:
        """Return the same address."""
        return self

    def resolve(self) -> RemotePath:
        """Return the same address."""
        return self

    def exists(self) -> bool:
        """Whether there is such an object, or one below this prefix."""
        return self._ask() is not None

    def is_file(self) -> bool:
        """Whether there is such an object; see `exists`."""
        info = self._ask()
        return info is not None and info.is_file

    def is_dir(self) -> bool:
        """Whether there are objects below this prefix; see `exists`."""
        info = self._ask()
        return info is not None and not info.is_file

    def stat(self) -> ObjectState:
        """Return size and time; raises as `open`."""
        info = self._ask()
        if info is None or not info.is_file:
            raise FileNotFoundError(2, "there is no such object", self.uri)
        return ObjectState(info.size or 0, info.mtime_ns or 0)

    def check_bucket(self) -> None:
        """Check that the store can be reached and the bucket exists (others have none)."""
        import pyarrow.fs as fs

        bucket = self._bucket
        info = self._call(lambda store: store.get_file_info(bucket))
        if info.type == fs.FileType.NotFound and has_buckets(self._scheme):
            raise FileNotFoundError(2, f"there is no bucket {bucket}; make it first")

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what is directly below this prefix, with its state; nothing for an unused prefix.

        One request per thousand objects.
        """
        import pyarrow.fs as fs

        selector = fs.FileSelector(self._key, allow_not_found=True)
        scheme = self._scheme
        for info in self._call(lambda store: store.get_file_info(selector)):
            # fsspec's memory file system puts a slash in front.
            yield RemotePath(f"{scheme}://{info.path.strip('/')}", info)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Yield the objects directly below whose name matches; see `iterdir`."""
        return (child for child in self.iterdir() if fnmatchcase(child.name, pattern))

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open for reading; what is read is fetched by ranges, each request repeated as needed."""
        assert mode == "rb"
        return io.BufferedReader(_StoredStream(self), _READ_AHEAD_BYTES)

    def read_bytes(self, listed_bytes: int = -1) -> bytes:
        """Return the whole object; raises as `open`.

        An OSError too where another size came than was listed (`listed_bytes`, -1 where nothing is
        known), or other bytes than the store's checksum is of, also when asked again.
        """
        if listed_bytes < 0 and self._info is not None and self._info.size is not None:
            listed_bytes = self._info.size
        check = ContentCheck(self._bucket, listed_bytes)

        def read(store: pyarrow.fs.FileSystem) -> bytes:
            with store.open_input_file(self._key) as stream:
                content = _read_whole(stream)
                check.check(content, stream.metadata())
            return content

        return self._call(read)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the whole object as text; raises as `open`."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write the object in one go: readers see the old one or the whole new one."""
        import pyarrow as pa

        self._write(pa.py_buffer(content))

    def upload(self, file: Path) -> None:
        """Write the content of a local file; see `write_bytes`."""
        import pyarrow as pa

        if file.stat().st_size == 0:  # nothing that could be mapped
            self.write_bytes(b"")
            return
        with pa.memory_map(str(file)) as content:
            self._write(content.read_buffer())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        try:
            self._call(lambda store: store.delete_file(self._key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a prefix exists as soon as an object has it."""

    @property
    def _scheme(self) -> str:
        return self.uri.partition("://")[0].lower()

    @property
    def _key(self) -> str:
        return self.uri.partition("://")[2]

    @property
    def _bucket(self) -> str:
        return self._key.partition("/")[0]

    def _ask(self) -> pyarrow.fs.FileInfo | None:
        """Return the object's state, None where it does not exist; a listing's is not renewed."""
        import pyarrow.fs as fs

        info = self._info or self._call(lambda store: store.get_file_info(self._key))
        return None if info.type == fs.FileType.NotFound else info

    def _write(self, content: Any) -> None:
        def write(store: pyarrow.fs.FileSystem) -> None:
            # One call with everything: closing a stream after half of it would keep that half.
            with store.open_output_stream(self._key) as stream:
                stream.write(content)

        self._call(write)

    def _call(self, action: Callable[[pyarrow.fs.FileSystem], _T]) -> _T:
        def attempt() -> _T:
            with explain_store_errors(self.uri):
                store = open_store(self._scheme, self._bucket)
                try:
                    return action(store)
                except OSError as error:
                    if is_without_reason(error):
                        self._ask_for_reason(store)
                    raise

        return retry(attempt)

    def _ask_for_reason(self, store: pyarrow.fs.FileSystem) -> None:
        """Raise what the store says of a listing: an answer to HEAD cannot have a reason."""
        import pyarrow.fs as fs

        store.get_file_info(fs.FileSelector(self._key, allow_not_found=True))


def _read_whole(stream: pyarrow.NativeFile) -> bytes:
    """Return what is left of a stream; an OSError, too, where somebody replaced the object."""
    try:
        return bytes(stream.read())
    except SystemError as error:  # pyarrow asks Python for a negative number of bytes
        raise OSError(5, "the object was replaced while it was read") from error


class _StoredStream(io.RawIOBase):
    """An object as a file; each read is repeated as all requests are, by opening it anew."""

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._stream: pyarrow.NativeFile | None = None
        self._position = 0
        self._size: int = path._call(self._open).size()

    def _open(self, store: pyarrow.fs.FileSystem) -> pyarrow.NativeFile:
        if self._stream is None:
            self._stream = store.open_input_file(self._path._key)
        return self._stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readall(self) -> bytes:
        content = bytearray(self._size - self._position)
        self.readinto(content)
        return bytes(content)

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))

        def read(store: pyarrow.fs.FileSystem) -> bytes:
            try:
                content = self._open(store).read_at(wanted, self._position)
            except OSError:
                self._stream = None
                raise
            if len(content) < wanted:
                raise OSError(5, f"{len(content)} of {wanted} bytes came")
            return bytes(content)

        if wanted:
            buffer[:wanted] = self._path._call(read)
        self._position += wanted
        return wanted

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()


AnyPath = Path | RemotePath


def is_there(path: AnyPath) -> bool:
    """Return whether a path exists; False, too, for a text that no path can be, or one closed."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False

"""The address of an image in an editor's task → its pixels, from places that the user allowed.

A task is data of others: its address may name any file of this machine, or any server that it can
reach. Only what lies below `--images` is read, and what the server of `--label-studio` gives: no
link in a folder and no redirect of a server leads out of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ovsam.decode import DEFAULT_MAX_PIXELS, decode_bytes
from ovsam.errors import ConfigError, ImageError, describe_error, show_value
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.place import Place, look_at, parse_place
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.remote_path import RemotePath, is_remote
from ovsam_pipeline.storage.web_file import HttpFile
from ovsam_pipeline.ui.editors.web_origin import WebOrigin

LOCAL_FILES = "/data/local-files/"
DOCUMENT_ROOT_VARIABLES = (
    "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    "LOCAL_FILES_DOCUMENT_ROOT",
)
_RESOLVE = "/resolve"
# Where Label Studio keeps images itself, or passes them on from a storage.
_SERVED = ("/data/", "/storage-data/", "/tasks/", "/projects/")
_SHOWN, _MOST_LETTERS = 120, 8192


class TaskImage(NamedTuple):
    """An image that a task names.

    Attributes:
        key: stays the same while the image does.
        read: returns its pixels, (H, W, 3) uint8 RGB, upright; raises ImageError.
    """

    key: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class AllowedImages:
    """Where images may be read.

    Attributes:
        roots: folders of this machine, prefixes on object stores, web addresses that end in "/".
        label_studio: the server that keeps what was uploaded to it; None: nothing is asked.
        document_root: the folder that Label Studio's local files are relative to; None: each root.
    """

    roots: tuple[Place, ...] = ()
    label_studio: WebOrigin | None = None
    document_root: Path | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS

    def find(self, address: str) -> TaskImage:
        """Return the image at an address of a task.

        Raises:
            ImageError: it lies nowhere that was allowed, or is not there.
        """
        if address.startswith("data:"):
            return take_bytes(address, self.max_pixels)
        _check_form(address)
        if is_remote(address):
            return self._find_remote(address)
        if address.startswith(LOCAL_FILES):
            return self._find_local_file(address)
        if address.startswith("/"):
            return self._find_on_server(address)
        raise _refuse(address, "an address that begins with / or with a scheme such as s3://")

    def _find_local_file(self, address: str) -> TaskImage:
        name = parse_qs(urlsplit(address).query).get("d", [""])[0]
        folders = [root for root in self.roots if isinstance(root, Path)]
        starts = folders if self.document_root is None else [self.document_root]
        for start in starts if name else ():
            path = _resolve(start / name.lstrip("/"))
            if path is not None and any(_is_inside(path, root) for root in folders):
                return self._take_file(path)
        if self.label_studio is not None:
            return self._ask_server(address)
        below = "LOCAL_FILES_DOCUMENT_ROOT" if self.document_root else "--images"
        raise _refuse(address, f"a file below {below} and inside --images")

    def _find_on_server(self, address: str) -> TaskImage:
        """Find an image at a path of Label Studio's server."""
        if self.label_studio is not None:
            address = self.label_studio.drop_path(address)
        parts = urlsplit(address)
        stored = parse_qs(parts.query).get("fileuri", [""])[0]
        if stored and parts.path.rstrip("/").endswith(_RESOLVE):
            address = _decode_uri(stored)
            return self._find_remote(address)
        if self.label_studio is None:
            raise _refuse(address, "--label-studio URL, the server that has this image")
        if not address.startswith(_SERVED) or _climbs(address):
            raise _refuse(address, "an image that Label Studio keeps, such as /data/upload/…")
        return self._ask_server(address)

    def _find_remote(self, address: str) -> TaskImage:
        scheme = address.partition("://")[0].lower()
        if scheme == "file":
            path = _resolve(Path(unquote(urlsplit(address).path)))
            if path is not None and any(_is_inside(path, root) for root in self.roots):
                return self._take_file(path)
        elif not _climbs(address):
            if self.label_studio is not None and self.label_studio.has(address):
                return self._find_on_server(self.label_studio.make_relative(address))
            for root in self.roots:
                if not isinstance(root, Path) and address.startswith(f"{_write(root)}/"):
                    return self._take_address(root, address)
        raise _refuse(address, "an image below --images")

    def _take_file(self, path: Path) -> TaskImage:
        try:
            status = path.stat()
        except OSError as error:
            raise ImageError(f"file not found: {show_value(path.name, _SHOWN)}") from error
        key = f"{path}|{status.st_size}:{status.st_mtime_ns}"
        return TaskImage(key, partial(decode_image, path, max_pixels=self.max_pixels))

    def _take_address(self, root: Place, address: str) -> TaskImage:
        if isinstance(root, HttpFile):
            origin = WebOrigin(_write(root))
            read = partial(origin.read, origin.make_relative(address))
            return TaskImage(address, lambda: decode_bytes(read(), self.max_pixels))
        place = RemotePath(address)
        try:
            status = place.stat()
        except OSError as error:
            raise ImageError(
                f"cannot be read: {show_value(address, _SHOWN)}: {describe_error(error)}"
            ) from error
        key = f"{address}|{status.st_size}:{status.st_mtime_ns}"
        return TaskImage(key, partial(decode_image, place, max_pixels=self.max_pixels))

    def _ask_server(self, address: str) -> TaskImage:
        assert self.label_studio is not None
        read = partial(self.label_studio.read, address)
        return TaskImage(address, lambda: decode_bytes(read(), self.max_pixels))


def allow_images(
    texts: Sequence[str],
    label_studio: WebOrigin | None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    environment: Mapping[str, str] = os.environ,
) -> AllowedImages:
    """Return the places that `--images` names.

    Raises:
        ConfigError: one is neither a folder, an address on an object store, nor a web address.
    """
    named = next((environment[x] for x in DOCUMENT_ROOT_VARIABLES if environment.get(x)), None)
    root = None if named is None else Path(named).expanduser()
    return AllowedImages(tuple(map(_parse_root, texts)), label_studio, root, max_pixels)


def take_bytes(text: str, max_pixels: int) -> TaskImage:
    """Return an image that was sent as base64, with or without "data:image/png;base64," in front.

    Raises:
        ImageError: it is not base64.
    """
    data = _decode_base64(text)
    key = hashlib.blake2b(data, digest_size=20).hexdigest()
    return TaskImage(key, partial(decode_bytes, data, max_pixels))


def _decode_base64(text: str) -> bytes:
    head, comma, rest = text.partition(",")
    if comma and not head.rstrip().endswith(";base64"):
        raise ImageError("expected an image as base64, got a data: address of another kind")
    try:
        return base64.b64decode(rest if comma else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"expected an image as base64, got something else: {error}") from error


def _parse_root(text: str) -> Place:
    try:
        place = parse_place(text)
        kind = "folder" if isinstance(place, HttpFile) else look_at(place, text)
    except SourceError as error:
        raise ConfigError(f"--images {text}: {error}") from error
    if kind != "folder":
        what = "a file" if kind == "file" else "nothing there"
        raise ConfigError(
            f"expected --images as a folder, s3://bucket/prefix or https://host/folder, got "
            f"{text}, which is {what}"
        )
    if isinstance(place, HttpFile):
        WebOrigin(place.url)  # refuses a password in it
    return place.resolve() if isinstance(place, Path) else place


def _write(root: Place) -> str:
    return (root.url if isinstance(root, HttpFile) else str(root)).rstrip("/")


def _resolve(path: Path) -> Path | None:
    """Return a path without links and ".."; None for one that cannot be."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, links in a circle
        return None


def _is_inside(path: Path, root: Place) -> bool:
    return isinstance(root, Path) and path.is_relative_to(root)


def _climbs(address: str) -> bool:
    """Whether a server could take the path of an address for one above its prefix."""
    path = address.partition("?")[0].partition("#")[0]
    while path != (path := unquote(path)):
        pass
    return "\\" in path or any(part in (".", "..") for part in PurePosixPath(path).parts)


def _decode_uri(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (ValueError, binascii.Error) as error:
        raise ImageError(f"expected fileuri as base64, got {show_value(text, _SHOWN)}") from error


def _check_form(address: str) -> None:
    """Raise ImageError for what cannot be taken apart, which `urlsplit` also remembers."""
    if len(address) > _MOST_LETTERS:
        raise _refuse(address, f"an address of at most {_MOST_LETTERS:,} letters")
    try:
        urlsplit(address)
    except ValueError as error:
        raise _refuse(address, f"an address as browsers take it ({error})") from error


def _refuse(address: str, expected: str) -> ImageError:
    shown = show_value(address, _SHOWN)
    return ImageError(f"expected {expected}, got the address {shown} of a task; it is not read")

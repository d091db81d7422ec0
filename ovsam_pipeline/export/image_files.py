"""Where the picture of a row is now, and its way into an export: copied or linked.

A picture lies where its row was listed from; where it is not there any more, or lies in an archive,
a table or on a store, the sources of run.json (or those given with --source) are listed once more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ovsam.decode import IMAGE_SUFFIXES
from ovsam.errors import ConfigError, ImageError, describe_error, explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.labels import LabelledImage
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.output.earlier_run import find_source, has_foreign_address, join_folder
from ovsam_pipeline.output.folder import RUN_FILE, read_run_file
from ovsam_pipeline.records import ImagePlace, Origin
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.storage.remote_path import AnyPath

_SUFFIXES = tuple(IMAGE_SUFFIXES)
_MOST_NAMED = 5
_COPY_BYTES = 1 << 20
_AGAIN = "ovsam export {old} --source NEW_PLACE, or --images none"


class PictureFinder:
    """Where the pictures of an output are now."""

    def __init__(self, output: AnyPath, sources: tuple[str, ...], again: str = _AGAIN) -> None:
        """Look nowhere yet.

        `sources`: where the user says that the pictures are; none: where they were. `again`: the
        command that names another place, with {old} for the output, for messages.
        """
        self._output = output
        self._sources = sources
        self._again = again
        # Names → places, of pictures that do not lie where their row says: listed when needed.
        self._listed: dict[str, ImagePlace] | None = None

    def find(self, file_name: str, origin: Origin) -> ImagePlace:
        """Return where the picture of a row is; it is not opened.

        Raises:
            FileNotFoundError: it is gone.
            ConfigError: the sources of run.json are gone, or must be given on the command line.
        """
        if not self._sources and (path := _find_beside_row(file_name, origin)):
            return path
        if self._listed is None:
            self._listed = self._list_sources()
        if file_name not in self._listed:
            raise FileNotFoundError("it is not among the sources any more")
        return self._listed[file_name]

    def _list_sources(self) -> dict[str, ImagePlace]:
        sources, root = self._sources, None
        if not sources:
            sources, root = _read_sources(self._output, self._again)
        listing = list_images(sources, image_root=root, outputs=[self._output])
        return {record.file_name: record.path for record in listing}


class ImageFiles:
    """The pictures of an output; what is gone is noted in `summary`."""

    def __init__(self, output: AnyPath, options: ExportOptions, summary: ExportSummary) -> None:
        self._finder = PictureFinder(output, options.sources)
        self._options = options
        self._summary = summary

    def find(self, image: LabelledImage) -> ImagePlace:
        """Return where a picture is; see `PictureFinder.find`."""
        return self._finder.find(image.file_name, image.origin)

    def put(self, image: LabelledImage, target: Path) -> bool:
        """Bring the picture of a row to a new file, as --images asks; make its folder.

        Return False where it is gone, which is counted: its labels have no picture.
        """
        if self._options.images == "none":
            return True
        with self.counting_missing(image) as is_there:
            place = self.find(image)
            if isinstance(place, Path):
                self._put_file(place, target)
            else:
                _write(target, [place.read_bytes()])
        return is_there[0]

    @contextmanager
    def counting_missing(self, image: LabelledImage) -> Iterator[list[bool]]:
        """Count an image as gone where the block cannot read it; yields [whether it is there]."""
        is_there = [True]
        try:
            yield is_there
        except (OSError, ImageError) as error:
            is_there[0] = False
            self._summary.missing_ids.add(image.image_id)
            if len(self._summary.missing_names) < _MOST_NAMED:
                self._summary.missing_names[image.file_name] = describe_error(error)

    def _put_file(self, place: Path, target: Path) -> None:
        if self._options.images == "link" and _link(place, target):
            return
        if self._options.images == "link":
            self._note("linked pictures are copies: this disk takes neither hard nor soft links")
        with place.open("rb") as stream:
            _write(target, iter(lambda: stream.read(_COPY_BYTES), b""))

    def _note(self, sentence: str) -> None:
        if sentence not in self._summary.notes:
            self._summary.notes.append(sentence)


def _find_beside_row(name: str, origin: Origin) -> Path | None:
    """Return the file that a row was made from, None where it is none of this machine's."""
    folder = origin.folder
    is_remote = "://" in folder or "://" in name
    # A part is data of others: what its names lead to is a picture, or nothing.
    if is_remote or not (folder or name.startswith("/")) or not name.lower().endswith(_SUFFIXES):
        return None
    path = Path(folder, name)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _read_sources(output: AnyPath, again: str) -> tuple[tuple[str, ...], str | None]:
    """Return the sources and the image root of an output's last run, as seen from here."""
    run = read_run_file(output)
    settings = run.get("settings", {})
    sources, root = settings.get("sources", ()), settings.get("image_root")
    if not sources:
        raise ConfigError(
            f"{output / RUN_FILE} does not say where the pictures are; name the place: "
            f"{again.format(old=output)}"
        )
    if has_foreign_address((*sources, root or ""), output):
        raise ConfigError(
            f"{output / RUN_FILE} names sources at addresses: data may not choose which address is "
            f"asked. If they are yours, type them: {again.format(old=output)}"
        )
    folder = Path(run.get("working_folder", ""))
    found = tuple(find_source(name, folder, output, again) for name in sources)
    return found, None if root is None else join_folder(folder, root)


def _link(place: Path, target: Path) -> bool:
    """Make a hard link, else a soft one; return whether one could be made."""
    place.stat()  # a FileNotFoundError is the image's, not the link's
    with explain("cannot write", target, OutputError):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(place, target, follow_symlinks=True)
    except OSError:
        try:
            target.symlink_to(place.absolute())
        except OSError:
            return False
    return True


def _write(target: Path, pieces: Iterable[bytes]) -> None:
    """Write a new file; what cannot be read is the picture's matter, all else the export's."""
    with explain("cannot write", target, OutputError):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    try:
        with file:
            for piece in pieces:
                with explain("cannot write", target, OutputError):
                    file.write(piece)
    except OSError:
        target.unlink()
        raise

"""What the user names on the command line → the images to label, one ImageRecord each.

Sources: folders (walked), files, globs, list files (.txt), COCO and LVIS JSON; several at once. The
order is deterministic, every file is listed once, and names never collide: with one source they are
relative to it, with several to the deepest folder that holds them all. Nothing is decoded here, and
a file that is missing or broken is still listed: it becomes a failed row with its reason.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ovsam_pipeline.coco_images import read_coco_images
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.images import IMAGE_SUFFIXES
from ovsam_pipeline.records import ImageRecord, compute_image_id

__all__ = ["ImageListing", "list_images"]

_REMOTE = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")


def list_images(
    sources: Sequence[str | Path],
    *,
    image_root: Path | str | None = None,
    exclude: Sequence[Path] = (),
) -> ImageListing:
    """Open the sources; iterating the result gives the records.

    Args:
        sources: folders, files, globs, list files, COCO or LVIS JSON files, in any mixture.
        image_root: the folder that the names in COCO JSON files are relative to; without it they
            are looked for beside the file and in the folders around it.
        exclude: folders that a walk must not enter: the output, where it lies in the input.

    Raises:
        SourceError: a source does not exist, cannot be read, matches nothing, or is not what its
            suffix says.
    """
    if not sources:
        raise SourceError("expected at least one source (folder, file, glob, list, JSON), got none")
    root = None if image_root is None else Path(image_root).expanduser()
    if root is not None and not root.is_dir():
        raise SourceError(f"expected the image root to be a folder, got {root}")
    return ImageListing(tuple(_open_source(str(text), root) for text in sources), tuple(exclude))


class _Entry(NamedTuple):
    """One image of a source: its name relative to the source's root (absolute when outside)."""

    path: str
    name: str
    image_id: int | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class _Source:
    """One source, checked; `kind` decides who iterates it, names are relative to `root`."""

    text: str
    kind: str
    root: Path
    entries: tuple[_Entry, ...] = ()


class ImageListing:
    """The images of some sources; may be iterated several times, and then reads the folders anew.

    Attributes:
        num_ignored: suffix ("" for none) → files that the last iteration passed over in folders
            and globs, as not being images by their suffix. Hidden files are not counted.
        num_duplicates: files that the last iteration met again and left out.
    """

    def __init__(self, sources: tuple[_Source, ...], exclude: tuple[Path, ...] = ()) -> None:
        self.sources = sources
        self.num_ignored: Counter[str] = Counter()
        self.num_duplicates = 0
        self._exclude = frozenset(folder.resolve() for folder in exclude)

    def __iter__(self) -> Iterator[ImageRecord]:
        """Yield the records, source by source; constant memory for a single folder.

        Raises:
            SourceError: a folder cannot be read, a source holds no image, or two images of JSON
                files have the same id. It comes where it is met, so list everything before writing.
        """
        self.num_ignored.clear()
        self.num_duplicates = 0
        prefixes = _compute_prefixes([source.root for source in self.sources])
        may_repeat = len(self.sources) > 1 or self.sources[0].kind != "folder"
        seen: set[str] = set()
        owners: dict[int, str] = {}
        for source, prefix in zip(self.sources, prefixes, strict=True):
            is_empty = True
            for entry in self._iterate(source):
                is_empty = False
                if may_repeat:
                    path = _normalise(entry.path)
                    if path in seen:
                        self.num_duplicates += 1
                        continue
                    seen.add(path)
                record = _make_record(entry, prefix)
                if entry.image_id is not None:
                    _claim_id(owners, record, source)
                yield record
            if is_empty:
                raise SourceError(self._describe_empty(source))

    def describe_ignored(self) -> str:
        """Return e.g. "12 other files passed over (10 .txt, 2 .json)"; "" when there were none."""
        total = self.num_ignored.total()
        if not total:
            return ""
        kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in self._common()]
        return f"{total} other file{'s' * (total > 1)} passed over ({', '.join(kinds)})"

    def _common(self) -> list[tuple[str, int]]:
        return sorted(self.num_ignored.items(), key=lambda item: (-item[1], item[0]))[:8]

    def _iterate(self, source: _Source) -> Iterator[_Entry]:
        if source.kind == "folder":
            yield from self._walk(source.root)
        elif source.kind == "glob":
            yield from self._expand(source)
        elif source.kind == "list":
            yield from _iterate_list(source)
        else:
            yield from source.entries

    def _walk(self, root: Path) -> Iterator[_Entry]:
        """Walk a folder depth first, in the order of names.

        Links to folders inside the root are not followed, as their files are listed where they lie;
        links to other folders are, each folder once. So loops end. Outputs of earlier runs are
        passed over: their previews are no photos.
        """
        real_root = root.resolve()
        entered = {real_root}

        def walk(folder: str, prefix: str) -> Iterator[_Entry]:
            for child in _scan_folder(folder):
                name = prefix + child.name
                if not _is_folder(child):
                    if self._is_image(child.name):
                        yield _Entry(child.path, name)
                    continue
                real = Path(child.path).resolve()
                if real in self._exclude or _is_label_output(real):
                    continue
                if child.is_symlink() and (real in entered or real.is_relative_to(real_root)):
                    continue
                entered.add(real)
                yield from walk(child.path, name + "/")

        if real_root not in self._exclude:
            yield from walk(str(root), "")

    def _expand(self, source: _Source) -> Iterator[_Entry]:
        """Expand a glob: files only. A suffix spelt out in the pattern admits any file."""
        suffix = _get_suffix(source.text)
        is_explicit = bool(suffix) and not glob.has_magic(suffix)
        for path in sorted(_match_pattern(source.text)):
            if not Path(path).is_dir() and (is_explicit or self._is_image(path)):
                yield _Entry(path, os.path.relpath(path, source.root))

    def _is_image(self, path: str) -> bool:
        suffix = _get_suffix(path)
        if suffix in IMAGE_SUFFIXES:
            return True
        self.num_ignored[suffix] += 1
        return False

    def _describe_empty(self, source: _Source) -> str:
        others = self.describe_ignored()
        held = f"; {others}" if others else ""
        where = {"folder": "below", "glob": "for the pattern", "list": "in the list"}
        place = where.get(source.kind, "in")
        return f"expected images (.jpg, .png, .webp, …) {place} {source.text}, found none{held}"


def _is_label_output(folder: Path) -> bool:
    """Whether a folder below the sources is what `ovsam label` wrote."""
    return (folder / "run.json").is_file() and (folder / "parts").is_dir()


def _open_source(text: str, image_root: Path | None) -> _Source:
    """Decide what a source is, and check what can be checked without listing it."""
    if _REMOTE.match(text):
        raise SourceError(f"remote sources are not read yet, got {text}: copy it to a folder first")
    path = Path(text).expanduser()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if glob.has_magic(text):
            return _open_glob(str(path))
        raise SourceError(
            f"expected a folder, file or glob, got {text}, which is not there"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {text!r}: {error}") from error
    if stat.S_ISDIR(mode):
        _scan_folder(str(path))
        return _Source(text, "folder", path)
    name = path.name.lower()
    if name.endswith((".json", ".json.gz")):
        root, images = read_coco_images(path, image_root)
        entries = tuple(_Entry(str(image.path), *image[1:]) for image in images)
        return _Source(text, "json", root, entries)
    if name.endswith(".txt"):
        return _open_list(text, path)
    if name.endswith((".parquet", ".csv", ".jsonl", ".yaml", ".yml")):
        raise SourceError(f"expected images, a list (.txt) or a COCO JSON file, got {text}")
    return _Source(text, "file", path.parent, (_Entry(str(path), path.name),))


def _open_glob(pattern: str) -> _Source:
    if next(_match_pattern(pattern), None) is None:
        raise SourceError(f"expected files for the pattern {pattern}, found none")
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return _Source(pattern, "glob", Path(*fixed))


def _match_pattern(pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207  patterns may be absolute


def _open_list(text: str, path: Path) -> _Source:
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError as error:
        raise SourceError(f"cannot read the list {text}: {error.strerror}") from error
    if b"\0" in start:
        raise SourceError(f"expected a text file with one image path a line, got binary: {text}")
    return _Source(text, "list", path.parent)


def _iterate_list(source: _Source) -> Iterator[_Entry]:
    """Yield the paths of a list: one a line, relative to the list; blank and # lines are skipped.

    Names are relative to the folder of the list; paths outside of it keep their absolute name.
    """
    root = _normalise(source.root)
    path = Path(source.text).expanduser()
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        for line in stream:
            item = line.strip()
            if not item or item.startswith("#"):
                continue
            if _REMOTE.match(item):
                raise SourceError(f"remote images are not read yet, got {item} in {source.text}")
            full = _normalise(source.root / item)
            is_inside = os.path.commonpath([root, full]) == root
            yield _Entry(full, os.path.relpath(full, root) if is_inside else full)


def _scan_folder(folder: str) -> list[os.DirEntry[str]]:
    """Return what is in a folder, in the order of names, without hidden files and folders."""
    try:
        with os.scandir(folder) as children:
            visible = [child for child in children if not child.name.startswith(".")]
    except OSError as error:
        raise SourceError(f"cannot read the folder {folder}: {error.strerror}") from error
    return sorted(visible, key=lambda child: child.name)


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link in a circle
        return False


def _get_suffix(path: str) -> str:
    """Return the lower-case suffix of the last part, with its dot; "" without one."""
    name = path.rpartition(os.sep)[2]
    return "." + name.rpartition(".")[2].lower() if "." in name[1:] else ""


def _normalise(path: str | Path) -> str:
    """Return the absolute path without "..", links kept."""
    return os.path.normpath(Path(path).absolute())


def _compute_prefixes(roots: list[Path]) -> list[str]:
    """Return what makes the names of each source unique: its root relative to the common folder."""
    if len(roots) == 1:
        return [""]
    absolute = [_normalise(root) for root in roots]
    common = os.path.commonpath(absolute)
    return ["" if root == common else os.path.relpath(root, common) + "/" for root in absolute]


def _make_record(entry: _Entry, prefix: str) -> ImageRecord:
    name = entry.name if entry.name.startswith(os.sep) else prefix + entry.name
    name = _to_unicode(name.replace(os.sep, "/"))
    image_id = compute_image_id(name) if entry.image_id is None else entry.image_id
    path = Path(entry.path)
    try:
        status = path.stat()
        size_bytes, mtime_ns = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # it becomes a failed row when it is read
        size_bytes, mtime_ns = -1, 0
    return ImageRecord(image_id, name, path, size_bytes, mtime_ns, entry.width, entry.height)


def _to_unicode(name: str) -> str:
    """Escape the bytes of a name that is not UTF-8: Parquet and JSON take only Unicode."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _claim_id(owners: dict[int, str], record: ImageRecord, source: _Source) -> None:
    owner = owners.setdefault(record.image_id, record.file_name)
    if owner != record.file_name:
        raise SourceError(
            f"expected different image ids, got {record.image_id} for {owner} and for "
            f"{record.file_name} of {source.text}: label the files in separate runs"
        )

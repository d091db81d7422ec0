"""Names of images and classes, which are text of others → names of files in an export.

They stay in the export's folder, are files of their own on every disk (Windows' and macOS' take
"A.jpg" for "a.jpg"), and are as the user knows them wherever that is possible.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

# What Windows or a shell gives a meaning, and control characters.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*]')
_SCHEME = re.compile(r"^[A-Za-z][\w+.-]+://")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# File systems allow 255 bytes; endings and marks are added to these.
_MOST_BYTES, _MOST_PATH_BYTES = 180, 700
_KEY_BYTES = 8


class SafeNames:
    """Gives each name of a data set a safe one, without its suffix: no two are alike.

    Memory: about 70 bytes a name. The same names in the same order get the same results.
    """

    def __init__(self, reserved: tuple[str, ...] = ()) -> None:
        """Never use `reserved` as a folder's or file's own name; they get a "_" behind them."""
        self._reserved = {name.casefold() for name in reserved}
        self._used: set[int] = set()

    def make(self, file_name: str) -> tuple[str, str]:
        """Return a relative POSIX path without a suffix, and the suffix: ".jpg", or ""."""
        stem, suffix = _split_suffix(make_safe_path(file_name))
        return self._make_unique("/".join(map(self._avoid, stem.split("/"))), file_name), suffix

    def make_part(self, name: str) -> str:
        """Return a name without folders, for a folder or the beginning of a file's name."""
        flat = _SCHEME.sub("", name).replace("\\", "/").strip("/").replace("/", "__")
        return self._make_unique(self._avoid(make_safe_part(flat)), name)

    def _avoid(self, part: str) -> str:
        return f"{part}_" if part.casefold() in self._reserved else part

    def _make_unique(self, safe: str, name: str) -> str:
        if not self._claim(safe):
            # Which of two alike comes first may change; the mark depends on the name alone.
            safe = _mark(safe, name)
            while not self._claim(safe):
                safe += "~"
        return safe

    def _claim(self, name: str) -> bool:
        """Whether no other name is the same on a disk that does not tell A from a."""
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        digest = hashlib.blake2b(folded.encode(), digest_size=_KEY_BYTES).digest()
        key = int.from_bytes(digest, "big")
        if key in self._used:
            return False
        self._used.add(key)
        return True


def list_safe_paths(file_name: str) -> tuple[str, str]:
    """Return what `SafeNames().make` may call a file: by itself, and where another had the name."""
    path = make_safe_path(file_name)
    stem, suffix = _split_suffix(path)
    return path, _mark(stem, file_name) + suffix


def make_safe_path(name: str) -> str:
    """Return a name as a relative path that stays below its folder: never empty, no "..", …."""
    text = _SCHEME.sub("", name).replace("\\", "/")
    parts = [make_safe_part(part) for part in text.split("/") if part not in ("", ".", "..")]
    path = "/".join(parts) or "_"
    if len(path.encode()) <= _MOST_PATH_BYTES:
        return path
    return f"{_hash(path)}/{parts[-1]}"


def make_safe_part(part: str) -> str:
    """Return one part of a path, such as a class's folder, that every file system takes."""
    # Half letters cannot be written at all.
    part = part.encode("utf-8", "replace").decode()
    part = _UNSAFE.sub("_", part)
    # Windows drops blanks and dots at the end.
    kept = part.rstrip(". ")
    part = kept + "_" * (len(part) - len(kept))
    part = part.lstrip(" ") or "_"
    if _DEVICES.match(part):
        part = f"_{part}"
    return _shorten(part)


def _shorten(part: str) -> str:
    """Cut a part that is too long for a file system, but not its suffix; a mark keeps it apart."""
    if len(part.encode()) <= _MOST_BYTES:
        return part
    stem, dot, suffix = part.rpartition(".")
    if not stem or len(suffix.encode()) > 8:
        stem, dot, suffix = part, "", ""
    cut = stem.encode()[: _MOST_BYTES - 20].decode("utf-8", "ignore")
    return f"{cut}~{_hash(part)}{dot}{suffix}"


def _split_suffix(path: str) -> tuple[str, str]:
    folder, slash, last = path.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if not stem or len(suffix) > 8:
        stem, dot, suffix = last, "", ""
    return folder + slash + stem, dot + suffix


def _mark(safe: str, name: str) -> str:
    """Return a safe name that tells a name from others that are alike."""
    return f"{safe}~{_hash(name)}"


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()

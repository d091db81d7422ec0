"""Where the pictures of a COCO file lie: beside it, in folders named after it, or as is told.

Labelling and evaluation choose here. A folder that is merely near is never taken: pictures of
another data set often have the same names ("0001.jpg").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ovsam.image_folders import list_image_folders
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_there

# The first images are looked for; on an object store each look is a request.
NUM_PROBES, NUM_REMOTE_PROBES = 20, 3
_MOST_NEIGHBOURS = 500


@dataclass(frozen=True)
class Reading:
    """How names become paths below the root: without their first parts, in a form of Unicode.

    Attributes:
        dropped: how many parts; -1 for all but the last.
        form: macOS writes "ü" as two characters (NFD), others as one (NFC); "" leaves it.
    """

    dropped: int = 0
    form: Literal["", "NFC", "NFD"] = ""

    def apply(self, name: str) -> str:
        """Return the path of a name, which is relative and has no ".."."""
        if self.dropped:
            name = "/".join(name.split("/")[self.dropped :]) or name.rpartition("/")[2]
        return unicodedata.normalize(self.form, name) if self.form else name


@dataclass(frozen=True)
class ImageRoot:
    """A folder, and how the names of a file are read there; `num_found` of the probes exist."""

    folder: AnyPath
    reading: Reading = Reading()
    num_found: int = 0


def list_candidates(path: AnyPath) -> list[AnyPath]:
    """Return where the images of a file lie by custom: see `ovsam/image_folders.py`."""
    return list_image_folders(path)


def find_root(
    path: object,
    probes: Sequence[str],
    candidates: Sequence[AnyPath],
    stay_different: Callable[[Reading], bool],
) -> ImageRoot:
    """Return the candidate that holds most of the probes, the first names of the file `path`.

    `stay_different`: whether a reading keeps all names of the file apart.

    Raises:
        SourceError: no candidate holds any, or several hold them, as different files.
    """
    best: list[ImageRoot] = [ImageRoot(candidates[0])]
    for reading in _list_readings(probes, candidates[0]):
        found = [
            ImageRoot(folder, reading, sum(is_there(folder / reading.apply(p)) for p in probes))
            for folder in candidates
        ]
        most = max(root.num_found for root in found)
        if most > best[0].num_found and (reading == Reading() or stay_different(reading)):
            # A folder with half as many is as likely to be meant.
            best = [root for root in found if 2 * root.num_found >= most]
            best.sort(key=lambda root: -root.num_found)
        if best[0].num_found == len(probes):
            break
    if probes and not best[0].num_found:
        raise SourceError(_describe_absence(path, probes, candidates))
    others = [root for root in best[1:] if _locate(root, probes) != _locate(best[0], probes)]
    if others:
        raise SourceError(
            f"the images of {path} may be those of {best[0].folder} or of {others[0].folder}: both "
            "have such names; name one with --image-root"
        )
    return best[0]


def _list_readings(probes: Sequence[str], folder: AnyPath) -> list[Reading]:
    if isinstance(folder, RemotePath):
        return [Reading(), Reading(-1)]
    depth = max((name.count("/") for name in probes), default=0)
    forms: tuple[Literal["", "NFC", "NFD"], ...] = ("", "NFC", "NFD")
    return [
        Reading(dropped, form)
        for dropped in (*range(depth + 1), -1)
        for form in (forms[:1] if all(map(str.isascii, probes)) else forms)
    ]


def _locate(root: ImageRoot, probes: Sequence[str]) -> AnyPath | None:
    """Return the first file that was found, without links."""
    places = (root.folder / root.reading.apply(name) for name in probes)
    return next((place.resolve() for place in places if is_there(place)), None)


def _describe_absence(path: object, probes: Sequence[str], candidates: Sequence[AnyPath]) -> str:
    folder = candidates[0]
    looked = (
        str(folder)
        if len(candidates) == 1
        else f"{folder}, its images/ and where data sets of its kind keep them"
    )
    sentence = (
        f"expected the images of {path} in {looked}, found none of the first {len(probes)} (such "
        f"as {probes[0]}): name their folder with --image-root"
    )
    near = _find_neighbour(probes[0], folder) if len(candidates) > 1 else None
    return sentence + (f"; {near} has such a name, if those are meant" if near else "")


def _find_neighbour(name: str, beside: AnyPath) -> AnyPath | None:
    """Return a folder near the file that has an image of this name, to be asked about."""
    if not isinstance(beside, Path):
        return None
    for parent in (beside, beside.parent):
        try:
            folders = sorted(path for path in parent.iterdir() if path.is_dir())
        except OSError:
            continue
        for folder in folders[:_MOST_NEIGHBOURS]:
            if is_there(folder / name) or is_there(folder / name.rpartition("/")[2]):
                return folder
    return None

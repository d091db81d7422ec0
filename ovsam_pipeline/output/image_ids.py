"""One name and one id per image: what contradicts itself is refused, ids that collide are resolved.

An id that a COCO file gives stays. Of computed ids, 53 bits of a hash of the name, two are equal by
chance: about once in 180 runs of ten million images. Then the image that has a row keeps the id of
its row, else the first one listed keeps it, and the others get the next id that is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ovsam.errors import ConfigError
from ovsam_pipeline.output.done_index import DoneIndex
from ovsam_pipeline.records import ImageRecord, compute_image_id
from ovsam_pipeline.sources.key_set import KeySet

ReadId = Callable[[str, int], int]
"""Part and position of a row → its image id."""


class UniqueImages:
    """Finds different images with one name or one id, among the listed ones and the rows.

    The first pass keeps 8 bytes per name and id, which show which repeat (or, rarely, collide); the
    second pass compares those few by their texts.
    """

    def __init__(self, done: DoneIndex | None = None) -> None:
        self._done = done or DoneIndex()
        self._names, self._ids = KeySet(), KeySet()
        self._repeated_names: set[str] = set()
        self._shared_ids: set[int] = set()

    def add(self, chunk: Sequence[ImageRecord], keys: np.ndarray) -> np.ndarray:
        """Return (N,) bool: which images of a chunk have a name that did not occur before.

        `keys`: (N,) uint64, `compute_keys` of the names.
        """
        is_new = self._names.add(keys)
        for index in np.flatnonzero(~is_new).tolist():
            self._repeated_names.add(chunk[index].file_name)
        fresh = np.flatnonzero(is_new)
        ids = np.array([chunk[index].image_id for index in fresh.tolist()], np.int64)
        is_shared = ~self._ids.add(ids.view(np.uint64)) | self._done.share_id(ids, keys[fresh])
        self._shared_ids.update(ids[is_shared].tolist())
        return is_new

    def settle(self, images: Iterable[ImageRecord], read_id: ReadId) -> dict[str, int]:
        """Return the ids of the images, by name, that cannot have that of their record.

        Raises:
            ConfigError: one name in different places, or one id that files give to two images.
        """
        if not self._repeated_names and not self._shared_ids:
            return {}
        places: dict[str, str] = {}
        groups: dict[int, dict[str, ImageRecord]] = {}
        for image in images:
            name, place = image.file_name, str(image.path)
            if name in self._repeated_names and places.setdefault(name, place) != place:
                raise ConfigError(
                    f"two sources hold different images named '{name}' ({places[name]} and "
                    f"{place}); label them into two outputs, or give one folder above both"
                )
            if image.image_id in self._shared_ids:
                groups.setdefault(image.image_id, {})[name] = image
        settled: dict[str, int] = {}
        for number, group in groups.items():
            settled |= self._settle_group(number, list(group), settled, read_id)
        return settled

    def _settle_group(
        self, number: int, names: list[str], settled: dict[str, int], read_id: ReadId
    ) -> dict[str, int]:
        """Return the ids of the images whose record has the id `number`."""
        stored = {
            name: read_id(place[1], place[2])
            for name in names
            if (place := self._done.find_place(name))
        }
        given = [name for name in names if compute_image_id(name) != number]
        kept = [name for name in names if stored.get(name) == number and name not in given]
        if len(given) + len(kept) > 1:
            first, second = (*given, *kept)[:2]
            raise ConfigError(
                f"'{first}' and '{second}' have the same image id {number}; label the two sources "
                "into two outputs"
            )
        is_taken = bool(given or kept) or any(
            read_id(part, position) == number for part, position in self._done.find_id(number)
        )
        chosen: dict[str, int] = {}
        for name in names:
            if name in given or name in stored:
                chosen[name] = number if name in given else stored[name]
            elif not is_taken:
                chosen[name], is_taken = number, True
            else:
                chosen[name] = self._find_free(name, {*settled.values(), *chosen.values()})
        return chosen

    def _find_free(self, name: str, used: set[int]) -> int:
        attempt = 1
        while True:
            number = compute_image_id(name, attempt)
            if number not in used and number not in self._ids and not self._done.find_id(number):
                return number
            attempt += 1

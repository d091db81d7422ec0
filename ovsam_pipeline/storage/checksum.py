"""Whether the bytes that came are those that the store has: by their number and their MD5 sum.

S3 and stores like it give the MD5 sum of an object as its ETag, except of objects that were
uploaded in pieces (it has a "-"), and in buckets that encrypt with keys of their own (it looks the
same). Such a bucket is known by an object that comes in every attempt with equal bytes and another
sum than its ETag, while no object of the bucket has agreed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from ovsam_pipeline.storage.retry import ATTEMPTS

_MD5 = re.compile(r"[0-9a-f]{32}")
# Bucket → whether its ETags are MD5 sums, as far as this process has seen.
_has_md5: dict[str, bool] = {}


class ContentCheck:
    """Checks what comes of one object, in several attempts to read it."""

    def __init__(self, bucket: str, listed_bytes: int) -> None:
        self._bucket = bucket
        self._listed_bytes = listed_bytes
        self._sums: list[str] = []

    def check(self, content: bytes, metadata: Mapping[bytes | str, bytes | str]) -> None:
        """Raise an OSError for an object that was cut, changed since it was listed, or damaged."""
        if 0 <= self._listed_bytes != len(content):
            raise OSError(
                5,
                f"{len(content)} bytes came of an object that was listed with "
                f"{self._listed_bytes}: it was cut on the way, or replaced since",
            )
        etag = _get_etag(metadata)
        if _MD5.fullmatch(etag) is None:
            return
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest == etag:
            _has_md5[self._bucket] = True
            return
        self._sums.append(digest)
        if self._bucket not in _has_md5 and self._sums == [digest] * ATTEMPTS:
            _has_md5[self._bucket] = False
        if _has_md5.get(self._bucket, True):
            raise OSError(5, "other bytes came than the store's checksum (ETag) is of")


def _get_etag(metadata: Mapping[bytes | str, bytes | str]) -> str:
    value = metadata.get("ETag", b"")
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.strip('"')

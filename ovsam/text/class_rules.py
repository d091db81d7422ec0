"""The rules of one class: which of its objects come out. Read from an entry of a vocabulary file.

Who applies them: `ovsam_pipeline.labelling.rules` to new objects, `ovsam filter` to stored ones.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ovsam.coco_fields import to_id, to_number
from ovsam.errors import VocabularyError, show_value

RULE_KEYS = ("conf", "min_area", "max_per_image", "ignore")
# What people write for a rule, besides its name.
_OTHER_WORDS = {
    "confidence": "conf",
    "threshold": "conf",
    "min_score": "conf",
    "min_conf": "conf",
    "max_det": "max_per_image",
    "ignored": "ignore",
}
# How alike a key must be to be a misspelt rule: COCO's "color" and LVIS's "image_count" are not.
_NEAR = 0.75
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class ClassRules:
    """Which objects of a class come out. An object has to pass all that are not None.

    Attributes:
        conf: least score of the label, from 0 to 1; for this class it takes the place of the run's
            least score.
        min_area: least area of the mask in pixels.
        min_area_share: least area of the mask as a share of the image's, from 0 to 1.
        max_per_image: most objects in an image, those with the best scores; at least 1.
        ignore: the class competes for every object, and none of its objects comes out.

    Raises:
        VocabularyError: a value is out of its range, or no finite number.
    """

    conf: float | None = None
    min_area: float | None = None
    min_area_share: float | None = None
    max_per_image: int | None = None
    ignore: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name, most in (("conf", 1.0), ("min_area", math.inf), ("min_area_share", 1.0)):
            value = getattr(self, name)
            if value is not None and not (0 <= value <= most and math.isfinite(value)):
                limits = "of at least 0" if most == math.inf else "from 0 to 1"
                raise VocabularyError(f"expected {name!r} as a number {limits}, got {value}")
        if self.max_per_image is not None and self.max_per_image < 1:
            raise VocabularyError(
                f"expected 'max_per_image' as a whole number of at least 1, got "
                f"{self.max_per_image}; a class with 'ignore' never comes out"
            )

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return self != _NO_RULES

    def to_dict(self) -> dict[str, Any]:
        """Return the rules that there are, by name."""
        return {k: v for k, v in asdict(self).items() if v is not None and v is not False}

    def describe(self) -> str:
        """Return "conf 0.4, min_area 1%"; nothing where there is no rule."""
        shown = [] if self.conf is None else [f"conf {self.conf:g}"]
        shown += [] if self.min_area is None else [f"min_area {self.min_area:g}"]
        share = self.min_area_share
        shown += [] if share is None else [f"min_area {share * 100:g}%"]
        most = self.max_per_image
        shown += [] if most is None else [f"max_per_image {most}"]
        return ", ".join([*shown, *(["ignore"] if self.ignore else [])])


_NO_RULES = ClassRules()


def read_class_rules(entry: Mapping[str, Any], where: str) -> ClassRules:
    """Return the rules in an entry of a vocabulary or rules file; `where` names it in messages.

    YAML's values are texts, so a number may be one. A key that is nearly that of a rule is refused;
    other keys are left alone, as COCO files have keys of their own.

    Raises:
        VocabularyError: a value cannot be that of its rule, or a key is nearly one.
    """
    _refuse_near_keys(entry, where)
    found: dict[str, Any] = {}
    if (given := entry.get("conf")) is not None:
        found["conf"] = _read_number(given, "conf", "a number from 0 to 1", where)
    if (given := entry.get("min_area")) is not None:
        found |= read_area(given, where)
    if (given := entry.get("max_per_image")) is not None:
        found["max_per_image"] = _read_count(given, where)
    if (given := entry.get("ignore")) is not None:
        found["ignore"] = _read_flag(given, where)
    try:
        return ClassRules(**found)
    except VocabularyError as error:
        expected, got, rest = str(error).partition(", got ")
        raise VocabularyError(f"{expected} at {where}{got}{rest}") from error


def read_area(given: Any, where: str) -> dict[str, Any]:
    """Return `min_area`, pixels, or `min_area_share` of a number, or of a text such as "1%"."""
    wanted = "pixels, or a share of the image such as '1%',"
    if isinstance(given, str) and given.strip().endswith("%"):
        percent = _read_number(given.strip()[:-1], "min_area", wanted, where, shown=given)
        if not 0 <= percent <= 100:
            raise VocabularyError(
                f"expected 'min_area' from 0% to 100% of the image at {where}, got "
                f"{show_value(given)}"
            )
        return {"min_area_share": percent / 100}
    return {"min_area": _read_number(given, "min_area", wanted, where)}


def _read_number(given: Any, key: str, wanted: str, where: str, shown: Any = None) -> float:
    number = to_number(given)
    if isinstance(given, str):
        try:
            number = float(given)
        except ValueError:
            number = None
    if number is None:
        raise VocabularyError(
            f"expected {key!r} as {wanted} at {where}, got "
            f"{show_value(given if shown is None else shown)}"
        )
    return number


def _read_count(given: Any, where: str) -> int:
    count = to_id(given) if not isinstance(given, str) or given.strip().isdecimal() else None
    if count is None:
        raise VocabularyError(
            f"expected 'max_per_image' as a whole number of at least 1 at {where}, got "
            f"{show_value(given)}"
        )
    return count


def _read_flag(given: Any, where: str) -> bool:
    text = str(given).strip().lower()
    if text not in (*_YES, *_NO) or isinstance(given, float):
        raise VocabularyError(
            f"expected 'ignore' as true or false at {where}, got {show_value(given)}"
        )
    return text in _YES


def _refuse_near_keys(entry: Mapping[str, Any], where: str) -> None:
    for key in entry:
        meant = _find_meant_key(str(key))
        if meant is not None and key != meant:
            raise VocabularyError(
                f"unknown key {show_value(key)} at {where} (did you mean {meant!r}?)"
            )


@lru_cache(maxsize=256)
def _find_meant_key(key: str) -> str | None:
    """Return the rule that a key is, or nearly is. The keys of all entries of a list are few."""
    folded = key.strip().lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(folded, RULE_KEYS, n=1, cutoff=_NEAR)
    return _OTHER_WORDS.get(folded) or (near[0] if near else None)

"""A corrected copy of a data set: the suggestions of sure findings put in, all else as it was.

Read and written item by item. What nobody knows how to correct (a box outside its image) stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ovsam.coco_fields import to_id
from ovsam.coco_json import iterate_json
from ovsam.errors import explain_json
from ovsam_pipeline.audit.files import Audited, compute_area
from ovsam_pipeline.audit.findings import Finding
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.storage.atomic import replace_file

_LIST, _MASK = "annotations", "segmentation"


def write_corrected(source: Path, target: Path, audited: Audited, least: float) -> dict[str, int]:
    """Write a copy of `source` to `target` with all findings of `least` suspicion corrected.

    Returns how many annotations were added, removed and changed.
    """
    by_annotation: dict[int, Finding] = {}
    missing: list[Finding] = []
    for finding in audited.findings:
        if finding.suspicion < least:
            break
        if finding.truth_row >= 0:
            by_annotation[int(audited.truth.annotation_ids[finding.truth_row])] = finding
        else:
            missing.append(finding)
    counts: Counter[str] = Counter(added=len(missing), removed=0, changed=0)
    text = _iterate_text(source, audited, by_annotation, missing, counts)
    with (
        replace_file(target) as temporary,
        temporary.open("w", encoding="utf-8") as file,
        explain_json(source, DatasetError),
    ):
        file.writelines(text)
    return dict(counts)


def _iterate_text(
    source: Path,
    audited: Audited,
    by_annotation: dict[int, Finding],
    missing: list[Finding],
    counts: Counter[str],
) -> Iterator[str]:
    """Yield the text of the copy; a list is closed where the next key begins."""
    separator, open_list, is_first = "{", "", True
    for key, value in iterate_json(source):
        if key.endswith("[]"):  # an item of the list that is open
            item = _correct(value, audited, by_annotation, counts) if open_list == _LIST else value
            if item is not None:
                yield ("\n" if is_first else ",\n") + _encode(item)
                is_first = False
            continue
        if open_list:
            yield from _close(open_list, is_first, audited, missing)
        open_list, is_first = (key, True) if isinstance(value, list) else ("", True)
        yield f"{separator}\n{_encode(key)}: " + ("[" if open_list else _encode(value))
        separator = ","
    if open_list:
        yield from _close(open_list, is_first, audited, missing)
    yield "\n}\n"


def _close(key: str, is_first: bool, audited: Audited, missing: list[Finding]) -> Iterator[str]:
    if key == _LIST:
        number = int(max(audited.truth.annotation_ids, default=0))
        for finding in missing:
            number += 1
            yield ("\n" if is_first else ",\n") + _encode(_add(audited, finding, number))
            is_first = False
    yield "]"


def _correct(
    annotation: Any,
    audited: Audited,
    by_annotation: dict[int, Finding],
    counts: Counter[str],
) -> Any:
    """Return an annotation as it should be; None where it should go."""
    number = to_id(annotation.get("id")) if isinstance(annotation, dict) else None
    finding = None if number is None else by_annotation.get(number)
    if finding is None:
        return annotation
    suggestion = audited.suggest(finding)
    if suggestion is None:
        counts["removed"] += 1
        return None
    changes = {k: suggestion[k] for k in _list_keys(audited) if k in suggestion}
    if not changes:
        return annotation
    if "bbox" in changes:
        changes["area"] = compute_area(suggestion)
        if "segmentation" not in changes:  # the old mask is of another place
            annotation = {k: v for k, v in annotation.items() if k != "segmentation"}
    counts["changed"] += 1
    return {**annotation, **changes}


def _add(audited: Audited, finding: Finding, number: int) -> dict[str, Any]:
    suggestion = audited.suggest(finding) or {}
    return {
        "id": number,
        "image_id": int(audited.truth.image_ids[finding.image_index]),
        "category_id": suggestion["category_id"],
        "bbox": suggestion["bbox"],
        **({_MASK: suggestion[_MASK]} if _MASK in _list_keys(audited) & suggestion.keys() else {}),
        "area": compute_area(suggestion),
        "iscrowd": 0,
        "score": suggestion["score"],
    }


def _list_keys(audited: Audited) -> set[str]:
    """Return what may be corrected: a data set of boxes alone stays one."""
    return {"category_id", "bbox", *((_MASK,) if audited.truth.has_masks else ())}


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

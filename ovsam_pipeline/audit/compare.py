"""Annotations against what we find and what we think of them → findings, some images at a time.

Letters: A annotations and F found objects of a block of images, E pairs of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovsam.masks import (
    compute_mask_areas,
    compute_mask_ious,
    compute_tight_boxes,
    merge_masks,
    to_rle,
)
from ovsam_pipeline.audit.findings import Finding
from ovsam_pipeline.audit.matching import match_greedily
from ovsam_pipeline.audit.opinions import AskedBoxes, FoundObjects
from ovsam_pipeline.audit.suspicion import (
    compute_box_odds,
    compute_missing_odds,
    compute_name_odds,
    compute_other_name_odds,
    compute_shape_odds,
    compute_swap_odds,
    judge_contradiction,
    to_suspicion,
)
from ovsam_pipeline.evaluation.reading.segment_store import draw_segmentation
from ovsam_pipeline.evaluation.scoring.overlaps import compute_box_overlaps, compute_pairs
from ovsam_pipeline.evaluation.structures import GroundTruth

# Pairs that are compared at once, of a hundred bytes or so each; and images, for their masks.
_PAIRS_AT_ONCE, _IMAGES_AT_ONCE = 1_000_000, 1000
# Boxes that overlap less are not of the same object.
_LEAST_MATCH = 0.1
# An object of ours that answers an annotation so well is not a missing one.
_SAME = 0.5
# Neither does one of another class that overlaps it less show where the object is.
_LIKE = 0.3
# Of two names that differ the weight of a match is less.
_OTHER_CLASS = 0.8
# What we see so surely is a better box than the annotated one.
_SURE_BOX = 0.25
_DUPLICATE = 0.9
# Pixels and share of a side by which a box may differ from its mask's: rounding, loose boxes.
_ROOM, _SHARE = 2.0, 0.05
_TINY = 2.0
_CERTAIN = 0.98
# Boxes of 1e308 pixels overflow; no image reaches so far.
_FARTHEST = 1e9
# Names of two annotations that are both so doubtful may be exchanged.
_DOUBTFUL_NAME = 0.1


def find_doubts(
    truth: GroundTruth, found: FoundObjects, asked: AskedBoxes | None, least: float
) -> Iterator[Finding]:
    """Yield the findings of at least a suspicion, image by image.

    Images that we did not look at, and crowds, have none. With `least` 0 every annotation has one.
    """
    for start, stop in _split_images(truth, found):
        yield from _Block(truth, found, asked, start, stop).find(least)


def _split_images(truth: GroundTruth, found: FoundObjects) -> Iterator[tuple[int, int]]:
    """Yield ranges of images with a bounded number of pairs; an image is never cut."""
    num = truth.num_images
    annotated = np.bincount(truth.image_index, minlength=num)
    pairs = annotated * (annotated + np.bincount(found.table.image_index, minlength=num))
    before = np.concatenate([[0], np.cumsum(pairs)])
    start = 0
    while start < num:
        stop = int(np.searchsorted(before, before[start] + _PAIRS_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), start + _IMAGES_AT_ONCE, num)
        yield start, stop
        start = stop


@dataclass
class _Odds:
    """Odds of each kind of error of A annotations, and what was measured."""

    box: np.ndarray
    name: np.ndarray
    swap: np.ndarray
    shape: np.ndarray


class _Block:
    """The annotations and objects of some consecutive images."""

    def __init__(
        self,
        truth: GroundTruth,
        found: FoundObjects,
        asked: AskedBoxes | None,
        start: int,
        stop: int,
    ) -> None:
        self.truth, self.found, self.asked = truth, found, asked
        all_rows = _find_rows(truth.image_index, start, stop)
        is_answered = found.table.answered_images[truth.image_index[all_rows]]
        self.crowds = all_rows[truth.is_crowd[all_rows]]
        self.rows = all_rows[is_answered & ~truth.is_crowd[all_rows]]
        self.found_rows = _find_rows(found.table.image_index, start, stop)
        self.images = truth.image_index[self.rows]
        self.found_images = found.table.image_index[self.found_rows]
        self.classes = truth.category_index[self.rows]
        self.found_classes = found.table.category_index[self.found_rows]
        self.boxes = np.clip(truth.boxes_xywh[self.rows], -_FARTHEST, _FARTHEST)
        self.found_boxes = found.table.boxes_xywh[self.found_rows]
        self.box_scores = found.box_scores[self.found_rows]
        self.rles = self._read_truth_rles()
        self.asked_rles = self._read_asked_rles()

    def find(self, least: float) -> Iterator[Finding]:
        """Yield the findings of the block, by image."""
        self._match()
        self._ask()
        odds = self._compute_odds()
        findings = list(self._judge(odds, least))
        # An object that is at another place than its annotation is one finding, the surer of two.
        explained = {f.found_row: f.suspicion for f in findings if f.kind == "box"}
        missing = self._find_missing(least)
        findings += [f for f in missing if f.suspicion > explained.get(f.found_row, 0.0)]
        yield from sorted(findings, key=lambda f: f.image_index)

    # --- what is measured ---

    def _match(self) -> None:
        """Find the object that answers each annotation: (A,) position or -1, and their IoU."""
        f, a = compute_pairs(self.found_images, self.images)
        ious = compute_box_overlaps(self.found_boxes[f], self.boxes[a], np.zeros(len(f), bool))
        is_near = ious >= _LEAST_MATCH
        f, a, ious = f[is_near], a[is_near], ious[is_near]
        same = self.found_classes[f] == self.classes[a]
        weights = (
            ious * np.sqrt(np.clip(self.box_scores[f], 0, 1)) * np.where(same, 1, _OTHER_CLASS)
        )
        taken = match_greedily(a, f, weights)
        self.answer = np.full(len(self.rows), -1, np.int64)
        self.support = np.zeros(len(self.rows))
        self.answer[a[taken]] = f[taken]
        self.support[a[taken]] = ious[taken]
        self.answers_well = np.zeros(len(self.found_rows), bool)
        self.answers_well[f[taken & (ious >= _SAME)]] = True

    def _ask(self) -> None:
        """Compare each annotated box with the tight box of our mask for it: (A,) IoU or NaN."""
        num = len(self.rows)
        self.agreement, self.stability = np.full(num, np.nan), np.ones(num)
        self.own_index = np.full(num, -1, np.int64)
        self.given, self.own = np.full(num, np.nan), np.full(num, np.nan)
        if self.asked is None:
            return
        rows = self.asked.rows[self.rows]
        is_there = rows >= 0
        boxes = self.asked.table.boxes_xywh[rows[is_there]]
        no_crowds = np.zeros(len(boxes), bool)
        self.agreement[is_there] = compute_box_overlaps(boxes, self.boxes[is_there], no_crowds)
        self.stability = self.asked.mask_scores[self.rows]
        self.own_index = self.asked.own_index[self.rows]
        self.given, self.own = self.asked.given[self.rows], self.asked.own[self.rows]

    def _compute_odds(self) -> _Odds:
        box = compute_box_odds(self.agreement, self.support, self.stability)
        is_other = (self.own_index != self.classes) & ~np.isnan(self.own)
        name = np.where(is_other, compute_name_odds(self.given), 0.0)
        if self.asked is None:
            name = self._doubt_names_by_found()
        swap, self.partner = self._find_swaps(name)
        return _Odds(box, name, swap, self._compare_shapes())

    def _doubt_names_by_found(self) -> np.ndarray:
        """Return odds of names where nobody asked the model: by the object that answers."""
        odds = np.zeros(len(self.rows))
        known = np.flatnonzero((self.answer >= 0) & (self.support >= _SAME))
        answers = self.answer[known]
        scores = self.found.table.scores[self.found_rows[answers]]
        self.own_index[known] = self.found_classes[answers]
        self.own[known] = scores
        is_other = (self.found_classes[answers] >= 0) & (
            self.found_classes[answers] != self.classes[known]
        )
        odds[known] = np.where(is_other, compute_other_name_odds(scores), 0.0)
        return odds

    def _find_swaps(self, name: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the odds that a name is exchanged, and with which annotation: (A,), -1 none."""
        odds, partner = np.zeros(len(self.rows)), np.full(len(self.rows), -1, np.int64)
        doubtful = np.flatnonzero(to_suspicion(name) >= _DOUBTFUL_NAME)
        first, second = compute_pairs(self.images[doubtful], self.images[doubtful])
        first, second = doubtful[first], doubtful[second]
        is_swap = (
            (self.own_index[first] == self.classes[second])
            & (self.own_index[second] == self.classes[first])
            & (self.classes[first] != self.classes[second])
        )
        for one, other in zip(first[is_swap].tolist(), second[is_swap].tolist(), strict=True):
            joint = float(compute_swap_odds(name[one], name[other]))
            if joint > odds[one]:
                odds[one], partner[one] = joint, other
        return odds, partner

    def _compare_shapes(self) -> np.ndarray:
        """Return the odds that each mask is wrong, of its IoU with ours for the same box."""
        self.mask_iou = np.full(len(self.rows), np.nan)
        for index, (rle, ours) in enumerate(zip(self.rles, self.asked_rles, strict=True)):
            if rle is not None and ours is not None and list(rle["size"]) == list(ours["size"]):
                self.mask_iou[index] = compute_mask_ious([rle], [ours])[0, 0]
        return compute_shape_odds(self.mask_iou, self.stability)

    # --- what is concluded ---

    def _judge(self, odds: _Odds, least: float) -> Iterator[Finding]:
        """Yield one finding for each annotation that is suspicious enough: its worst kind."""
        duplicate, duplicate_of = self._find_duplicates()
        is_seen, is_swap = self._find_seen(), odds.swap > odds.name
        box = to_suspicion(odds.box)
        of_kind = {
            "box": np.where(is_seen, box, 0.0),
            "unsupported": np.where(is_seen, 0.0, box),
            "name": np.where(is_swap, 0.0, to_suspicion(odds.name)),
            "swapped": np.where(is_swap, to_suspicion(odds.swap), 0.0),
            "mask": to_suspicion(odds.shape),
            "duplicate": duplicate,
            **self._judge_alone(),
        }
        kinds = tuple(of_kind)
        table = np.stack([of_kind[kind] for kind in kinds])  # (kinds, A)
        # A wrong name and a wrong place together are more suspicious than each.
        joint = to_suspicion(odds.box + np.maximum(odds.name, odds.swap) + odds.shape)
        suspicion = np.maximum(table.max(axis=0), joint)
        partners = {"duplicate": duplicate_of, "swapped": self.partner}
        for index in np.flatnonzero(suspicion >= least).tolist():
            shares = table[:, index].tolist()
            worst = max(shares)
            kind = kinds[shares.index(worst)]
            others = max(worst / 2, _DOUBTFUL_NAME)
            also = tuple(
                k for k, share in zip(kinds, shares, strict=True) if k != kind and share >= others
            )
            partner = int(partners[kind][index]) if kind in partners else -1
            yield self._build(index, kind, float(suspicion[index]), partner, also)

    def _find_seen(self) -> np.ndarray:
        """Return which annotations have an answer that may be their object: (A,) bool."""
        is_seen = self.answer >= 0
        answers = self.answer[is_seen]
        is_alike = self.found_classes[answers] == self.classes[is_seen]
        is_alike |= self.support[is_seen] >= _LIKE
        is_seen[is_seen] = is_alike & (self.box_scores[answers] >= _SURE_BOX)
        return is_seen

    def _build(
        self, index: int, kind: str, suspicion: float, partner: int, also: tuple[str, ...]
    ) -> Finding:
        answer = int(self.answer[index])
        category = int(self.own_index[index]) if kind in ("name", "swapped") else -1
        return Finding(
            kind,
            round(min(suspicion, 1.0), 4),
            int(self.images[index]),
            int(self.rows[index]),
            self._explain(index, kind, partner),
            found_row=int(self.found_rows[answer]) if kind == "box" else -1,
            is_asked=kind in ("mask", "contradiction"),
            partner_row=-1 if partner < 0 else int(self.rows[partner]),
            category_index=category,
            also=also,
        )

    def _explain(self, index: int, kind: str, partner: int) -> str:
        """Return the reason of a finding."""
        names = self.truth.categories.names
        answer = int(self.answer[index])
        match kind:
            case "box":
                ours = self._name_found(answer)
                return f"we see {ours} here; the boxes overlap by {self.support[index]:.2f}"
            case "unsupported":
                return self._explain_unsupported(index)
            case "name":
                return self._explain_name(index)
            case "swapped":
                other = self.truth.annotation_ids[self.rows[partner]]
                own = names[self.own_index[index]]
                return (
                    f"we call it {own}, and annotation {other}, named {own}, we call "
                    f"{names[self.classes[index]]}: exchanged?"
                )
            case "mask":
                return f"its mask and ours for the same box overlap by {self.mask_iou[index]:.2f}"
            case "duplicate":
                other = self.truth.annotation_ids[self.rows[partner]]
                return f"annotation {other} has the same name and nearly the same box"
            case "contradiction":
                return f"its box and the box of its own mask overlap by {self.own_iou[index]:.2f}"
            case "outside":
                return f"{self.outside[index]:.0%} of its box is outside the image"
            case _:
                width, height = self.boxes[index, 2:]
                return f"its box is {width:g} x {height:g} pixels"

    def _explain_unsupported(self, index: int) -> str:
        reason = "our detector finds nothing like it"
        if self.answer[index] >= 0:
            reason = (
                f"all that our detector finds here is {self._name_found(int(self.answer[index]))}, "
                f"which overlaps it by {self.support[index]:.2f}"
            )
        if not np.isnan(self.agreement[index]):
            reason += f"; our mask for this box fits it by {self.agreement[index]:.2f}"
        return reason

    def _explain_name(self, index: int) -> str:
        if self.asked is None:
            return f"we see {self._name_found(int(self.answer[index]))} here"
        row = self.rows[index]
        given = self.asked.given[row]
        share = "less than 0.1 %" if given < 0.0005 else f"{given:.1%}".replace("%", " %")
        own = f"{self.asked.own_names[row]} ({self.asked.own[row]:.2f})"
        return f"asked about this box, we call it {own}; its name gets {share}"

    def _name_found(self, position: int) -> str:
        row = self.found_rows[position]
        table = self.found.table
        return f"{table.labels[row]} ({self.box_scores[position]:.2f})"

    def _find_duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how suspicious each is of being there twice, and of which earlier one."""
        suspicion, earlier = np.zeros(len(self.rows)), np.full(len(self.rows), -1, np.int64)
        a, b = compute_pairs(self.images, self.images)
        is_pair = (b < a) & (self.classes[a] == self.classes[b])
        a, b = a[is_pair], b[is_pair]
        ious = compute_box_overlaps(self.boxes[a], self.boxes[b], np.zeros(len(a), bool))
        is_same = ious >= _DUPLICATE
        pairs = (a[is_same].tolist(), b[is_same].tolist(), ious[is_same].tolist())
        for one, other, iou in zip(*pairs, strict=True):
            if iou > suspicion[one]:
                suspicion[one], earlier[one] = min(iou, _CERTAIN), other
        return suspicion, earlier

    def _judge_alone(self) -> dict[str, np.ndarray]:
        """Return what is suspicious of annotations without a look at ours, by kind."""
        boxes, sizes_hw = self.boxes, self.truth.image_sizes_hw[self.images]
        areas = np.prod(np.maximum(boxes[:, 2:], 0), axis=1)
        is_empty = ~(boxes[:, 2:] > 0).all(axis=1)
        is_tiny = (boxes[:, 2:] < _TINY).any(axis=1) & ~is_empty
        limits = np.where(sizes_hw > 0, sizes_hw, np.inf)[:, ::-1]
        ends = np.minimum(boxes[:, :2] + boxes[:, 2:], limits)
        inside = np.prod(np.maximum(ends - np.maximum(boxes[:, :2], 0), 0), axis=1)
        self.outside = 1 - np.divide(inside, areas, out=np.ones(len(areas)), where=areas > 0)
        beyond = np.maximum(-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - limits).max(
            axis=1, initial=-np.inf
        )
        is_out = (self.outside > _SHARE) & (beyond > _ROOM)
        return {
            "empty": np.where(is_empty, _CERTAIN, 0.0),
            "tiny": np.where(is_tiny, 0.5, 0.0),
            "outside": np.where(is_out, np.clip(self.outside, 0.5, _CERTAIN), 0.0),
            "contradiction": self._judge_own_masks(),
        }

    def _judge_own_masks(self) -> np.ndarray:
        """Compare each box with that of the annotation's own mask."""
        num = len(self.rows)
        own, has_mask = np.zeros((num, 4)), np.array([rle is not None for rle in self.rles], bool)
        rles = [rle for rle in self.rles if rle is not None]
        own[has_mask] = compute_tight_boxes(rles)
        has_mask[has_mask] = compute_mask_areas(rles) > 0
        self.own_iou = compute_box_overlaps(own, self.boxes, np.zeros(num, bool))
        corners, own_corners = _to_corners(self.boxes), _to_corners(own)
        # Masks end at pixels, polygons between them.
        room = np.maximum(_ROOM, _SHARE * self.boxes[:, 2:].max(axis=1, initial=0))
        differs = np.abs(corners - own_corners).max(axis=1, initial=0) > room
        return judge_contradiction(self.own_iou, has_mask & differs)

    def _find_missing(self, least: float) -> list[Finding]:
        """Return objects of ours that nobody annotated."""
        table = self.found.table
        names, masks = table.scores[self.found_rows], self.found.mask_scores[self.found_rows]
        at_most = to_suspicion(
            compute_missing_odds(self.box_scores, names, masks, np.zeros(len(names)))
        )
        is_candidate = (at_most >= max(least, 1e-3)) & ~self.answers_well
        is_candidate &= self._may_be_missing()
        candidates = np.flatnonzero(is_candidate)
        covered = self._measure_coverage(candidates)
        odds = compute_missing_odds(
            self.box_scores[candidates], names[candidates], masks[candidates], covered
        )
        suspicion = to_suspicion(odds)
        listed = np.flatnonzero(suspicion >= max(least, 1e-3))
        listed = listed[np.argsort(-suspicion[listed], kind="stable")]
        single = self._drop_repeated(candidates[listed])
        return [
            self._build_missing(int(candidates[k]), float(suspicion[k]), float(covered[k]))
            for k, is_single in zip(listed.tolist(), single, strict=True)
            if is_single
        ]

    def _may_be_missing(self) -> np.ndarray:
        """Return which objects of ours should have been annotated: (F,) bool.

        Those of the data set's classes; in LVIS, of the classes that its image is annotated for.
        """
        truth, num = self.truth, len(self.truth.categories)
        may_be = self.found_classes >= 0
        if not truth.is_lvis:
            return may_be
        codes = self.found_images.astype(np.int64) * num + self.found_classes
        positive = np.unique(self.images.astype(np.int64) * num + self.classes)
        known = np.union1d(positive, truth.negative)
        known = np.setdiff1d(known, truth.not_exhaustive)
        return may_be & np.isin(codes, known)

    def _measure_coverage(self, candidates: np.ndarray) -> np.ndarray:
        """Return the share of each object's mask that annotated ones hold, crowds too."""
        covered = np.zeros(len(candidates))
        crowd_images = self.truth.image_index[self.crowds]
        images = self.found_images[candidates]
        for image in np.unique(images).tolist():
            here = np.flatnonzero(images == image)
            regions = [
                self._get_region(k) for k in np.flatnonzero(self.images == image).tolist()
            ] + [self._read_crowd(int(row)) for row in self.crowds[crowd_images == image]]
            ours = self._read_found_rles(candidates[here])
            size = list(ours[0]["size"])
            held = [rle for rle in regions if rle is not None and list(rle["size"]) == size]
            if held:
                covered[here] = compute_mask_ious(ours, [merge_masks(held)], [1])[:, 0]
        return np.clip(covered, 0, 1)

    def _drop_repeated(self, candidates: np.ndarray) -> list[bool]:
        """Return which objects, best first, are not of a better one's place."""
        kept: dict[int, list[Any]] = {}
        single = []
        rles = self._read_found_rles(candidates)
        for image, rle in zip(self.found_images[candidates].tolist(), rles, strict=True):
            before = kept.setdefault(image, [])
            is_single = not before or compute_mask_ious([rle], before).max() <= _SAME
            single.append(bool(is_single))
            if is_single:
                before.append(rle)
        return single

    def _build_missing(self, position: int, suspicion: float, covered: float) -> Finding:
        row = int(self.found_rows[position])
        reason = f"we see {self._name_found(position)}, and nothing is annotated there"
        if covered >= _LEAST_MATCH:
            reason = (
                f"we see {self._name_found(position)}, of which annotations hold {covered:.0%}"
            ).replace("%", " %")
        return Finding(
            "missing",
            round(suspicion, 4),
            int(self.found_images[position]),
            -1,
            reason,
            found_row=row,
            category_index=int(self.found_classes[position]),
        )

    # --- masks ---

    def _read_truth_rles(self) -> list[Any]:
        """Return the annotations' own masks; None where there is none that can be drawn."""
        truth = self.truth
        items = truth.segments.read_many(truth.segment_rows[self.rows])
        sizes = truth.image_sizes_hw[self.images].tolist()
        return [_draw(item, *size) for item, size in zip(items, sizes, strict=True)]

    def _read_asked_rles(self) -> list[Any]:
        """Return our masks for the annotated boxes; None where there is none."""
        if self.asked is None:
            return [None] * len(self.rows)
        rows = self.asked.rows[self.rows]
        segment_rows = np.full(len(rows), -1, np.int64)
        segment_rows[rows >= 0] = self.asked.table.segment_rows[rows[rows >= 0]]
        return [_draw(item, -1, -1) for item in self.asked.table.segments.read_many(segment_rows)]

    def _read_found_rles(self, positions: np.ndarray) -> list[Any]:
        """Return the masks of found objects, their boxes where they have none."""
        table, rows = self.found.table, self.found_rows[positions]
        items = table.segments.read_many(table.segment_rows[rows])
        sizes = self.truth.image_sizes_hw[table.image_index[rows]].tolist()
        return [
            _draw(item, *size) or _draw_box(box, *size)
            for item, size, box in zip(items, sizes, table.boxes_xywh[rows].tolist(), strict=True)
        ]

    def _get_region(self, index: int) -> Any:
        """Return what an annotation holds: its mask, ours for its box, or the box."""
        if (rle := self.rles[index] or self.asked_rles[index]) is not None:
            return rle
        return _draw_box(
            self.boxes[index].tolist(), *self.truth.image_sizes_hw[self.images[index]].tolist()
        )

    def _read_crowd(self, row: int) -> Any:
        size = self.truth.image_sizes_hw[self.truth.image_index[row]].tolist()
        item = self.truth.segments.read(int(self.truth.segment_rows[row]))
        return _draw(item, *size) or _draw_box(self.truth.boxes_xywh[row].tolist(), *size)


def _find_rows(image_index: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return the rows of some images; `image_index` ascends."""
    first, last = np.searchsorted(image_index, [start, stop])
    return np.arange(first, last)


def _to_corners(boxes_xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def _draw(segmentation: Any, height: int, width: int) -> Any:
    """Return a checked segmentation as RLE; None without one, and on an image of unknown size."""
    if not segmentation or (isinstance(segmentation, list) and (height < 0 or width < 0)):
        return None
    return draw_segmentation(segmentation, height, width)


def _draw_box(box_xywh: list[float], height: int, width: int) -> Any:
    """Return a box as RLE; of an image of unknown size, one that ends with the box."""
    left, top, box_width, box_height = box_xywh
    right, bottom = left + max(box_width, 0), top + max(box_height, 0)
    height = height if height > 0 else max(1, int(bottom))
    width = width if width > 0 else max(1, int(right))
    left, right = (min(max(x, 0.0), width) for x in (left, right))
    top, bottom = (min(max(y, 0.0), height) for y in (top, bottom))
    return to_rle([[left, top, right, top, right, bottom, left, bottom]], height, width)

"""The pixels of a mask → polygons that become the same pixels again, with holes and parts.

Readers fill polygons by one of two rules. pycocotools takes pixels as squares: polygons run along
their edges (`trace_edges`), and several polygons are one object. OpenCV, and with it the readers of
YOLO, takes pixels as points and also draws the outline: polygons run through the outermost pixels
(`trace_points`), and one polygon must hold all.

Zero-width bridges lead from ring to ring and back: into a hole they lie inside of the mask and cost
nothing. Between parts OpenCV draws a line of one pixel.

Letters: n corners, p points.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

# Distances of all pairs of points between rings are looked at: more points are thinned out for it.
_MOST_POINTS = 3000
# More rings are joined as they come: nobody draws so many specks.
_MOST_RINGS = 3000


def trace_edges(pixels: np.ndarray) -> list[np.ndarray]:
    """Return one polygon for each 4-connected part of (h, w) bool pixels, along pixel edges.

    Each is (n, 2) int64, x then y, 0 at the left edge of the first pixel. Holes hang on it by
    vertical bridges.
    """
    padded = np.pad(np.ascontiguousarray(pixels, np.uint8), 1)
    _, parts = cv2.connectedComponents(padded, connectivity=4)
    polygons: dict[int, np.ndarray] = {}
    # By rows: an outline comes before the holes in it, and a hole before those that hang on it.
    for ring in sorted(_trace_rings(padded), key=lambda ring: _find_top(ring)[::-1]):
        x, y = _find_top(ring)
        # In the padded frame the pixel below and to the right of corner (x, y) is [y + 1, x + 1].
        is_outline = bool(padded[y + 1, x + 1])
        if is_outline:
            polygons[int(parts[y + 1, x + 1])] = ring
        else:
            part = int(parts[y, x + 1])
            polygons[part] = _hang_hole(polygons[part], ring, padded)
    return list(polygons.values())


def trace_points(pixels: np.ndarray) -> np.ndarray:
    """Return one polygon for all of (h, w) bool pixels, through centres of outermost ones.

    It is (p, 2) int32, x then y, of whole pixels; no point where there is no pixel.
    """
    rings, _ = cv2.findContours(
        np.ascontiguousarray(pixels).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    if len(rings) == 1:
        return rings[0].reshape(-1, 2)
    if not rings:
        return np.zeros((0, 2), np.int32)
    if len(rings) == 2:
        return _join_two(rings[0].reshape(-1, 2), rings[1].reshape(-1, 2))
    return _join_rings([ring.reshape(-1, 2) for ring in rings])


def _trace_rings(padded: np.ndarray) -> list[np.ndarray]:
    """Return the closed outlines of a mask with a border of zeros, outer ones and holes.

    Corners alternate between horizontal and vertical edges. In every row of corners the first is
    joined to the second, the third to the fourth and so on; likewise in every column.
    """
    above_left, above_right = padded[:-1, :-1], padded[:-1, 1:]
    below_left, below_right = padded[1:, :-1], padded[1:, 1:]
    is_corner = (above_left ^ above_right ^ below_left ^ below_right).astype(bool)
    # Two pixels that touch at a corner only: two outlines have a corner there.
    is_double = (above_left == below_right) & (above_right == below_left)
    is_double &= above_left != above_right
    rows, columns = np.nonzero(is_corner | is_double)
    double = is_double[rows, columns]
    falls = double & above_left[rows, columns].astype(bool)
    rows, columns, double, falls = (
        np.repeat(values, 1 + double) for values in (rows, columns, double, falls)
    )
    if not len(rows):
        return []
    # The second of two that are alike ends the edge to the right. Where the pixels fall to the
    # right it also ends the edge below, else the one above.
    is_second = np.zeros(len(rows), bool)
    is_second[1:] = double[1:] & double[:-1]
    is_second[1:] &= (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])
    is_lower = is_second == falls
    across = _pair(np.arange(len(rows)))
    down = _pair(np.lexsort((is_lower, rows, columns)))
    return _walk(across.tolist(), down.tolist(), np.stack([columns, rows], axis=1))


def _pair(order: np.ndarray) -> np.ndarray:
    """Return the partner of each corner, where corners in an order are joined two by two."""
    partners = np.empty(len(order), np.int64)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return partners


def _walk(across: list[int], down: list[int], corners: np.ndarray) -> list[np.ndarray]:
    is_seen = bytearray(len(across))
    rings = []
    for start in range(len(across)):
        if is_seen[start]:
            continue
        found, here = [], start
        while not is_seen[here]:
            there = across[here]
            is_seen[here] = is_seen[there] = 1
            found += [here, there]
            here = down[there]
        rings.append(corners[found])
    return rings


def _find_top(ring: np.ndarray) -> tuple[int, int]:
    """Return x, y of the leftmost of the topmost corners."""
    top = ring[ring[:, 1] == ring[:, 1].min()]
    return int(top[:, 0].min()), int(top[0, 1])


def _hang_hole(outline: np.ndarray, hole: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """Return an outline that leads down to a hole of its part, around it, and back up.

    The pixels above a hole's top left corner, on both sides, belong to the part: the bridge goes up
    between them until it meets the outline or a hole above, which hangs on the outline already.
    """
    x, y = _find_top(hole)
    column = padded[: y + 1, x] & padded[: y + 1, x + 1]
    meeting = int(np.flatnonzero(column == 0)[-1])  # of the pixels above corner row `meeting`
    ends = np.roll(outline, -1, axis=0)
    is_level = (outline[:, 1] == meeting) & (ends[:, 1] == meeting)
    is_over = np.minimum(outline[:, 0], ends[:, 0]) <= x
    is_over &= np.maximum(outline[:, 0], ends[:, 0]) >= x
    edge = int(np.flatnonzero(is_level & is_over)[0])
    first = int(np.flatnonzero((hole[:, 0] == x) & (hole[:, 1] == y))[0])
    turned = np.roll(hole, -first, axis=0)
    point = np.array([[x, meeting]])
    around = [point, turned, turned[:1], point]
    return np.concatenate([outline[: edge + 1], *around, outline[edge + 1 :]])


def _join_two(ring: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return one polygon of two rings, as most objects with a hole or two parts need it."""
    if len(ring) * len(other) > _MOST_POINTS**2:
        return _join_rings([ring, other])
    apart = (ring[:, None, 0] - other[:, 0]) ** 2 + (ring[:, None, 1] - other[:, 1]) ** 2
    here, there = divmod(int(apart.argmin()), len(other))
    return np.concatenate([ring[: here + 1], other[there:], other[: there + 1], ring[here:]])


def _join_rings(rings: list[np.ndarray]) -> np.ndarray:
    """Return one polygon of rings, each joined to the nearest one: a tree of shortest bridges."""
    points = np.concatenate(rings)
    firsts = np.cumsum([0, *map(len, rings)])
    following = np.arange(1, len(points) + 1)
    following[firsts[1:] - 1] = firsts[:-1]
    links, copies = following.tolist(), list(range(len(points)))
    for here, there in _find_bridges(points, firsts):
        ring = int(np.searchsorted(firsts, there, side="right")) - 1
        before = there - 1 if there > firsts[ring] else int(firsts[ring + 1]) - 1
        # … here → there → around the ring → a copy of there → a copy of here → as before.
        back = len(links)
        links += [back + 1, links[here]]
        copies += [there, here]
        links[before] = back
        links[here] = there
    order, node = [], 0
    for _ in links:
        order.append(copies[node])
        node = links[node]
    return points[order]


def _find_bridges(points: np.ndarray, firsts: np.ndarray) -> list[tuple[int, int]]:
    """Return which (p, 2) points to join: (one of a ring that is joined, one of a new ring).

    `firsts`: (rings + 1,) int64, the first point of each ring. Prim's minimum spanning tree.
    """
    if len(firsts) > _MOST_RINGS:
        starts = firsts[:-1].tolist()
        return list(pairwise(starts))
    ring_of = np.repeat(np.arange(len(firsts) - 1), np.diff(firsts))
    step = -(-len(points) // _MOST_POINTS)
    # Every ring keeps its first point.
    kept = np.flatnonzero((np.arange(len(points)) - firsts[ring_of]) % step == 0)
    places, owner = points[kept].astype(np.int64), ring_of[kept]
    distances = np.full(len(kept), np.iinfo(np.int64).max)
    nearest = np.zeros(len(kept), np.int64)
    bridges, joined = [], 0
    is_out = np.ones(len(kept), bool)
    for _ in range(len(firsts) - 2):
        is_out &= owner != joined
        out, new = np.flatnonzero(is_out), np.flatnonzero(owner == joined)
        apart = ((places[out, None] - places[None, new]) ** 2).sum(axis=2)
        closest = apart.argmin(axis=1)
        found = apart[np.arange(len(out)), closest]
        is_nearer = found < distances[out]
        distances[out[is_nearer]] = found[is_nearer]
        nearest[out[is_nearer]] = new[closest[is_nearer]]
        best = out[distances[out].argmin()]
        bridges.append((int(kept[nearest[best]]), int(kept[best])))
        joined = owner[best]
    return bridges

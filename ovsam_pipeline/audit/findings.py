"""One doubt about a data set, and the piles that doubts are sorted into."""

from __future__ import annotations

from dataclasses import dataclass

PILES = {
    "more": "we see an object, and nobody annotated it",
    "fewer": "an annotation, and nothing of ours supports it",
    "different": "both see an object, at another place or of another size",
    "names": "the model doubts the name, or two names are exchanged",
    "shapes": "the annotation contradicts itself, or its mask is not ours",
}
"""The piles by name, each with its meaning."""

_PILE_OF = {
    "missing": "more",
    "unsupported": "fewer",
    "duplicate": "fewer",
    "box": "different",
    "name": "names",
    "swapped": "names",
    "mask": "shapes",
    "contradiction": "shapes",
    "empty": "shapes",
    "tiny": "shapes",
    "outside": "shapes",
}
KINDS = tuple(_PILE_OF)
"""What can be wrong, by kind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubtful annotation, or one object of ours that nobody annotated.

    Attributes:
        kind: one of `KINDS`.
        suspicion: how likely it is an error, 0..1.
        image_index: position of its image in the ground truth.
        truth_row: row of the annotation, -1 for an object that was not annotated.
        reason: in words.
        found_row: row of our object in what was found, -1 for none.
        is_asked: whether our mask for the annotated box is the suggestion for its shape.
        partner_row: row of another annotation that is concerned, -1 for none.
        category_index: class that we suggest, -1 for none.
        also: other kinds that are as good as half as suspicious.
    """

    kind: str
    suspicion: float
    image_index: int
    truth_row: int
    reason: str
    found_row: int = -1
    is_asked: bool = False
    partner_row: int = -1
    category_index: int = -1
    also: tuple[str, ...] = ()

    @property
    def pile(self) -> str:
        """The pile that it belongs to."""
        return get_pile(self.kind)


def get_pile(kind: str) -> str:
    """Return the pile of a kind."""
    return _PILE_OF[kind]


def rank_findings(findings: list[Finding]) -> list[Finding]:
    """Return findings by falling suspicion; of equal ones in the order of images and rows."""
    return sorted(findings, key=lambda f: (-f.suspicion, f.image_index, f.truth_row, f.found_row))


def rank_images(findings: list[Finding], num_images: int) -> list[float]:
    """Return how likely each image has an error: 1 minus the product of what speaks against it."""
    clean = [1.0] * num_images
    for finding in findings:
        clean[finding.image_index] *= 1.0 - finding.suspicion
    return [1.0 - share for share in clean]

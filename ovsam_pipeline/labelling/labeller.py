"""Everything that labels an image, loaded; and the facts of it that a run needs.

Without torch, so that the driver of a cluster, which labels nothing, can import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.sources.read_image import decode_image

if TYPE_CHECKING:
    import numpy as np

    from ovsam.decode import Admit, Warn
    from ovsam_pipeline.detectors.base import Detector
    from ovsam_pipeline.labelling.modes import Mode
    from ovsam_pipeline.records import ImageRecord
    from ovsam_pipeline.settings.label import LabelConfig


@dataclass(frozen=True)
class RunFacts:
    """What a run must know of its labels: small, and the same on every machine.

    Attributes:
        config: the settings with every "auto" decided; builds the same labeller elsewhere.
        depends_on: everything that changes labels, in words and hashes.
        categories: COCO categories of the classes that may come out.
        has_labels: whether there are masks and labels; else boxes alone.
    """

    config: LabelConfig
    depends_on: Mapping[str, Any]
    provenance: Mapping[str, Any]
    categories: list[dict[str, Any]] = field(default_factory=list)
    has_labels: bool = True

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes labels: rows with another one are not continued."""
        return compute_fingerprint(dict(self.depends_on))

    @property
    def is_demonstration(self) -> bool:
        """Whether nano's model or detector works, which know emoji drawings and no photos."""
        model = self.config.model if self.has_labels else ""
        return "nano" in (model, self.config.detector)

    def describe(self) -> str:
        """Return what labels: "model nano, detector nano, vocabulary nano (260 classes)"."""
        model, detector, words = (
            self.provenance.get(name, {}) for name in ("model", "detector", "vocabulary")
        )
        parts = [
            model and f"model {model.get('weights') or model['name']}",
            detector and f"detector {detector['name']}",
            words and f"vocabulary {words['name']} ({_count_classes(words['classes'])})",
        ]
        return ", ".join(part for part in parts if part)


def _count_classes(number: int) -> str:
    return f"{number:,} {'class' if number == 1 else 'classes'}"


@dataclass(frozen=True)
class Pace:
    """What changes the speed of labelling and nothing else.

    Attributes:
        is_overlapping: whether detector and model run in separate threads: worth it on a GPU; on a
            CPU they would only take each other's cores.
    """

    batch: int
    workers: int
    is_overlapping: bool


class Decode(Protocol):
    """Reads the pixels of an image."""

    def __call__(
        self, source: ImageRecord, /, *, warn: Warn | None = None, admit: Admit | None = None
    ) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB; see `ovsam.decode.decode_file`."""


def choose_decode(config: LabelConfig) -> Decode:
    """Return what reads the images of a run: `decode_image`, with its limit of pixels."""
    return partial(decode_image, max_pixels=config.max_pixels)


@dataclass(frozen=True)
class Labeller:
    """Everything that labels an image, loaded.

    Attributes:
        mode: what is made of the boxes.
        decode: ImageRecord → (H, W, 3) uint8 RGB, or an ImageError; see `decode_image`.
    """

    detector: Detector
    mode: Mode[Any]
    pace: Pace
    facts: RunFacts
    decode: Decode = decode_image


# Settings, and a function that is called with (done, total) while class names are embedded.
# Picklable, as it may run in a worker of a cluster.
BuildLabeller = Callable[["LabelConfig", Callable[[int, int], None] | None], Labeller]


@dataclass(frozen=True)
class Outlook:
    """What is known of a run before its networks are loaded.

    Attributes:
        facts: those that the loaded labeller will have.
        build: loads that labeller, given the settings of `facts`.
        detector: one without networks of ours, which is ready already; None: it has to be loaded.
    """

    facts: RunFacts
    build: BuildLabeller
    detector: Detector | None = None


Foresee = Callable[["LabelConfig"], Outlook | None]


def find_outlook(config: LabelConfig, build: BuildLabeller) -> Outlook | None:
    """Return what is known of what a builder builds; None: only loading tells."""
    foresee: Foresee | None = getattr(build, "foresee", None)
    return None if foresee is None else foresee(config)

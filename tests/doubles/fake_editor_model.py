"""What editors ask, without networks: every answer is the objects that a test made."""

import numpy as np
from row_objects import make_object

from ovsam.errors import ImageError
from ovsam.masks import compute_tight_boxes, encode_mask
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.ui.demo.session import Found, Name


class FakeNaming:
    """Names, and a version that they change."""

    def __init__(self, names, has_namer=True):
        self.names, self.version = tuple(names), "fake-1234"
        self.session = self.labeller = self.facts = self
        self.vocabulary = "some" if has_namer else None
        self.provenance = {"model": {"name": "fake"}}

    def describe(self):
        return "model fake, two names"


class FakeEditorModel:
    """An `EditorModel` for routes; `asked` is what it was asked for, in order.

    `names` of the answer to a prompt: (name, score) pairs, best first.
    """

    def __init__(self, objects=(), names=(("mug", 0.75), ("cup", 0.125)), **settings):
        self.config = LabelConfig(sources=("x",), **settings)
        self.has_own_names = self.config.vocabulary != "auto"
        self.objects, self.given_names = list(objects), names
        self.own = FakeNaming(("mug", "cup"), has_namer=bool(names))
        self.asked = []

    def name_by(self, names=()):
        return FakeNaming(names) if names else self.own

    def point(self, naming, image, make_prompt):
        pixels = image.read()
        prompt = make_prompt(pixels.shape[:2])
        self.asked.append((naming.names, prompt))
        names = tuple(Name(*pair) for pair in self.given_names)
        found = self.objects[0] if self.objects else None
        return Found(found, names, 0.5, 0.0, 0.0)

    def label(self, naming, image):
        pixels = image.read()
        self.asked.append((naming.names, None))
        if pixels.max() == 0:
            raise ImageError("a black image")
        height, width = pixels.shape[:2]
        record = ImageRecord(0, "image", None)
        return LabelRecord.labelled(record, width, height, tuple(self.objects))


def make_masked(mask: np.ndarray, category="mug", **values):
    """An object with a mask, (h, w) bool of its whole image."""
    rle = encode_mask(mask)
    left, top, width, height = compute_tight_boxes([rle])[0].tolist()
    bbox = (left, top, width, height)
    return make_object(
        category=category, segmentation=rle, bbox=bbox, area=int(mask.sum()), **values
    )

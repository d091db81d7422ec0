import numpy as np
import pytest
import torch

from ovsam.errors import ConfigError
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.data.mixed import DataPart, DataSettings, OpenedData
from ovsam.training.data.training_classes import TrainingClasses
from ovsam.training.samples import TrainingSample
from ovsam.training.steps.example_embeddings import embed_examples


class TwoColours:
    """Red squares are "x1", blue ones "x2"; some have boxes alone."""

    title, categories = "two colours", ("x1", "x2")

    def __init__(self, *, has_masks: bool, count: int = 6) -> None:
        self.has_masks, self.count = has_masks, count

    def __len__(self) -> int:
        return self.count

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        pixels = np.full((96, 96, 3), 128, np.uint8)
        pixels[16:80, 16:80] = ((220, 20, 20), (20, 20, 220))[index % 2]
        masks = np.zeros((1, 96, 96), np.uint8)
        masks[:, 16:80, 16:80] = 1
        boxes = np.array([[16, 16, 80, 80]], np.float32)
        return TrainingSample(
            pixels=pixels,
            masks=masks if self.has_masks else None,
            boxes=None if self.has_masks else boxes,
            labels=labels[[index % 2]],
        )


def open_colours(source, names=("x1", "x2")) -> OpenedData:
    classes = TrainingClasses(Vocabulary(list(names)))
    settings = DataSettings(kind="pool", path="x")
    return OpenedData((DataPart(source, classes.match(source.categories), settings),), classes)


@pytest.mark.parametrize("has_masks", [True, False])
def test_class_is_what_clip_sees_in_its_objects(tiny_model, has_masks):
    source = TwoColours(has_masks=has_masks)
    found = embed_examples(tiny_model, open_colours(source), 2, 0)
    assert found.shape == (2, 1, tiny_model.config.clip.embed_dim)
    assert torch.allclose(found.norm(dim=-1), torch.ones(2, 1))
    # All objects of a class look the same here: more of them change nothing.
    more = embed_examples(tiny_model, open_colours(source), 50, 1)
    assert torch.allclose(found, more, atol=1e-5)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_class_without_objects_is_named(tiny_model):
    opened = open_colours(TwoColours(has_masks=True), ("x1", "x2", "x3"))
    with pytest.raises(ConfigError, match=r"got none of 'x3'; remove these classes"):
        embed_examples(tiny_model, opened, 2, 0)

import math

import pytest
import torch
import torch.nn.functional as F

from ovsam.classifier import Classifier, best_classes
from ovsam.examples.prototypes import ExamplePrototypes, build_space
from ovsam.text.vocabulary import Vocabulary

WIDTH = 16


def look_at(classes, count, *, spread=0.3, views=3, seed=0):
    """Unit vectors (E, V, D) around the axes of some classes, and their classes."""
    random = torch.Generator().manual_seed(seed)
    owners = torch.tensor(classes).repeat_interleave(count)
    axes = torch.eye(WIDTH)[owners][:, None]
    noise = torch.randn(len(owners), views, WIDTH, generator=random) * spread / math.sqrt(WIDTH)
    return F.normalize(axes + noise, dim=-1), owners


@pytest.mark.parametrize("count", [1, 5])
def test_regions_are_nearest_to_their_own_class(count):
    views, owners = look_at([0, 1, 2, 3], count)
    space = build_space(views, owners, 4, torch.zeros(0, WIDTH), 20.0)
    asked, own = look_at([0, 1, 2, 3], 10, views=1, seed=1)
    scores = space.score(asked[:, 0])
    assert (scores.argmax(dim=1) == own).all()
    assert (scores.amax(dim=1) > 0).float().mean() > 0.9, "near an example: above the level"


@pytest.mark.parametrize("count", [1, 5])
def test_one_class_does_not_take_what_is_unlike_it(count):
    views, owners = look_at([0], count)
    background, _ = look_at([5, 6, 7], 4, views=1)
    space = build_space(views, owners, 1, background[:, 0], 20.0)
    other, _ = look_at([8, 9], 10, views=1, seed=2)
    same, _ = look_at([0], 10, views=1, seed=3)
    assert (space.score(other[:, 0]) < 0).all()
    assert (space.score(same[:, 0]) > 0).all()


@pytest.mark.parametrize("count", [1, 5])
def test_two_classes_alone_do_not_take_what_is_unlike_both(count):
    """Crops have nothing beside them: only the other class says what is no example."""
    views, owners = look_at([0, 1], count)
    space = build_space(views, owners, 2, torch.zeros(0, WIDTH), 20.0)
    other, _ = look_at([8, 9], 10, views=1, seed=2)
    same, _ = look_at([0, 1], 10, views=1, seed=3)
    assert (space.score(other[:, 0]) < 0).all()
    assert (space.score(same[:, 0]).amax(dim=1) > 0).all()


def test_what_changes_between_views_is_not_looked_at():
    """Axis 9 is how an object is drawn: it differs in views of one example, not in classes."""
    views, owners = look_at([0, 1], 2, spread=0.05)
    drawn = torch.tensor([-1.0, 0.0, 1.0])
    views[:, :, 9] += drawn
    space = build_space(F.normalize(views, dim=-1), owners, 2, torch.zeros(0, WIDTH), 20.0)
    plain = torch.eye(WIDTH)[0]
    other = F.normalize(plain + torch.eye(WIDTH)[9], dim=0)
    scores = space.score(torch.stack([plain, other]))
    assert (scores[:, 0] - scores[:, 1] > 0).all()
    assert (space.rows[0] @ space.rows[1]) < 0


def make_classifier(vocabulary, texts, none_index, owners=(0,)):
    views, rows = look_at(list(range(len(owners))), 3)
    background, _ = look_at([5, 6], 4, views=1)
    space = build_space(views, rows, len(owners), background[:, 0], 20.0)
    prototypes = ExamplePrototypes(space, space, torch.tensor(owners), none_index)
    bound = vocabulary.with_example_prototypes(texts, prototypes)
    return Classifier.of_vocabulary(
        bound, None, math.log(20), torch.device("cpu"), restrict_to_split=False
    )


def name(classifier, embeddings):
    logits = classifier.clip_logits(embeddings)
    head = classifier.head_logits(embeddings)
    return best_classes(classifier.fuse(head, logits, torch.ones(len(logits), dtype=torch.bool)))


def test_a_single_example_class_shares_the_score_with_none():
    classifier = make_classifier(
        Vocabulary(["part", "none"]), (torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.int64)), 1
    )
    labels, scores, _ = name(classifier, torch.eye(WIDTH)[[0, 8]])
    assert labels.tolist() == [0, 1]
    assert scores.min() > 0.5
    assert scores.max() < 1


def test_texts_take_what_is_near_no_example():
    texts = torch.eye(WIDTH)[[12, 13]], torch.tensor([1, 2])
    classifier = make_classifier(Vocabulary(["part", "cup", "mug"]), texts, None)
    labels, _, _ = name(classifier, torch.eye(WIDTH)[[0, 12, 13, 8]])
    assert labels.tolist()[:3] == [0, 1, 2]
    assert labels[3] != 0


def test_a_class_of_text_and_examples_is_found_by_either():
    texts = torch.eye(WIDTH)[[12, 13]], torch.tensor([0, 1])
    classifier = make_classifier(Vocabulary(["part", "cup"]), texts, None)
    labels, _, _ = name(classifier, torch.eye(WIDTH)[[0, 12, 13]])
    assert labels.tolist() == [0, 0, 1]

import math

import pytest
import torch

from ovsam.classifier import EXCLUDED, Classifier, best_classes, split_for_model
from ovsam.errors import VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary


def unit(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


def test_a_class_scores_by_its_best_prototype_and_background_is_zero() -> None:
    embeddings = torch.stack([unit((1, 0), (0, 1)), unit((-1, 0), (-1, 0))])
    classifier = Classifier(embeddings, None, None, logit_scale=math.log(10))
    logits = classifier.cosine_logits(torch.tensor([[0.0, 3.0]]))
    torch.testing.assert_close(logits, torch.tensor([[10.0, 0, 0]]))
    assert len(classifier.prototypes) == 3


def test_fusion_is_the_log_of_the_geometric_mean() -> None:
    embeddings = torch.eye(3)[:, None]
    classifier = Classifier(embeddings, (0,), (1,), logit_scale=0.0)
    head, clip = torch.randn(2, 4), torch.randn(2, 4)
    fused = classifier.fuse(head, clip, torch.tensor([True, False]))
    p, c = head.softmax(-1), clip.softmax(-1)
    torch.testing.assert_close(fused[0, 0], (p[0, 0] ** 0.9 * c[0, 0] ** 0.1).log())
    torch.testing.assert_close(fused[0, 1], (p[0, 1] ** 0.1 * c[0, 1] ** 0.9).log())
    torch.testing.assert_close(fused[0, 3], (p[0, 3] ** 0.9 * c[0, 3] ** 0.1).log())
    torch.testing.assert_close(fused[1, :2], p[1, :2].log())
    assert fused[:, 2].tolist() == [EXCLUDED, EXCLUDED]


def test_fusion_survives_probabilities_that_underflow() -> None:
    classifier = Classifier(torch.eye(2)[:, None], None, None, logit_scale=0.0)
    fused = classifier.fuse(
        torch.tensor([[0.0, 1000, 0]]), torch.tensor([[1000.0, 0, 0]]), torch.tensor([False])
    )
    assert fused.isfinite().all()


def test_no_class_is_excluded_without_a_split() -> None:
    classifier = Classifier(torch.eye(3)[:, None], (0,), None, logit_scale=0.0)
    assert not classifier.excluded.any()
    assert classifier.clip_weight.tolist() == pytest.approx([0.1, 0.9, 0.9, 0.1])


def test_the_best_class_is_never_background() -> None:
    labels, scores, margins = best_classes(torch.tensor([[1.0, 2.0, 50.0]]))
    expected = torch.tensor([1.0, 2.0]).softmax(0)
    assert labels.tolist() == [1]
    torch.testing.assert_close(scores, expected[1:])
    torch.testing.assert_close(margins, expected[1:] - expected[:1])


def test_a_single_class_has_its_score_as_margin() -> None:
    _, scores, margins = best_classes(torch.tensor([[1.0, 2.0]]))
    assert scores.tolist() == margins.tolist() == [1.0]


@pytest.mark.parametrize(
    ("embeddings", "base", "message"),
    [
        (torch.zeros(3, 4), None, r"shape \(classes, prototypes, width\), got \(3, 4\)"),
        (torch.eye(2)[:, None], (2,), "class indices below 2, got 2"),
    ],
)
def test_wrong_vocabularies_are_refused(embeddings, base, message) -> None:
    with pytest.raises(VocabularyError, match=message):
        Classifier(embeddings, base, None, 0.0)


def test_own_class_lists_take_the_trained_classes_as_base() -> None:
    vocabulary = Vocabulary(["Dog", "person", "zeppelin"])
    assert split_for_model(vocabulary, "coco") == ((1,), None)
    assert split_for_model(vocabulary, None) == (None, None)
    assert split_for_model(vocabulary, "objects365") == ((0, 1), None), "no split: all were seen"
    coco = load_vocabulary("coco")
    assert split_for_model(coco, "coco") == (coco.base, coco.novel)

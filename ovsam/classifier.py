"""Region embeddings → open-vocabulary scores: cosine, prototypes, fusion with frozen CLIP.

Source: paper section 3.3; F-VLM's geometric mean with alpha for base and beta for novel classes.

Letters: N regions, K classes, P prototypes, D embedding width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.errors import VocabularyError
from ovsam.examples.prototypes import ExamplePrototypes, PrototypeSpace
from ovsam.text.class_list import fold_name
from ovsam.text.vocabulary import Vocabulary, find_prototypes
from ovsam.text.vocabulary_files import load_vocabulary

BASE_WEIGHT = 0.1
"""Weight of frozen CLIP for classes that the label head was trained on, and for background."""
OTHER_WEIGHT = 0.9
"""Weight of frozen CLIP for all other classes."""
EXCLUDED = -1000.0
"""Score of classes that cannot be chosen: in neither set of a split, or without a prototype."""


class Classifier:
    """Embeddings of a vocabulary's classes, ready to score regions."""

    def __init__(
        self,
        embeddings: Tensor,
        base: tuple[int, ...] | None,
        novel: tuple[int, ...] | None,
        logit_scale: float,
    ) -> None:
        """Take (K, J, D) unit text embeddings, and cosines' scale as a logarithm.

        `base` are the indices of the classes that the label head was trained on, `novel` the other
        classes of a split; None where there is no split, so that no class is excluded.
        """
        if embeddings.ndim != 3 or 0 in embeddings.shape:
            raise VocabularyError(
                f"text embeddings must have shape (classes, prototypes, width), "
                f"got {tuple(embeddings.shape)}"
            )
        prototypes, owners = find_prototypes(embeddings.float())
        self._set_prototypes(prototypes, owners, len(embeddings), logit_scale)
        self._set_weights(base, novel, embeddings.device)

    @classmethod
    def of_prototypes(
        cls,
        prototypes: tuple[Tensor, Tensor],
        num_classes: int,
        base: tuple[int, ...] | None,
        novel: tuple[int, ...] | None,
        logit_scale: float,
    ) -> Classifier:
        """Build one of `Vocabulary.prototypes`: a class without any is never chosen."""
        classifier = cls.__new__(cls)
        rows, owners = prototypes
        classifier._set_prototypes(rows.float(), owners, num_classes, logit_scale)
        classifier._set_weights(base, novel, rows.device)
        return classifier

    @classmethod
    def of_vocabulary(
        cls,
        vocabulary: Vocabulary,
        trained_on: str | None,
        logit_scale: float,
        device: torch.device,
        *,
        restrict_to_split: bool,
    ) -> Classifier:
        """Build one of a vocabulary with prototypes, for a model on a device.

        `trained_on` as in `split_for_model`. `restrict_to_split`: never choose a class in neither
        set of a base/novel split.
        """
        assert vocabulary.prototypes is not None
        rows, owners = vocabulary.prototypes
        base, novel = split_for_model(vocabulary, trained_on)
        classifier = cls.of_prototypes(
            (rows.to(device), owners),
            vocabulary.num_classes,
            base,
            novel if restrict_to_split else None,
            logit_scale,
        )
        if vocabulary.example_prototypes is not None:
            classifier._examples = vocabulary.example_prototypes.to(device)
        return classifier

    def head_logits(self, embeddings: Tensor) -> Tensor:
        """Score (N, D) embeddings by the trained head: (N, K + 1) float32, background last."""
        space = None if self._examples is None else self._examples.head
        return self._add_examples(self.cosine_logits(embeddings), embeddings, space)

    def clip_logits(self, embeddings: Tensor) -> Tensor:
        """Score (N, D) embeddings by frozen CLIP: (N, K + 1) float32, background last."""
        space = None if self._examples is None else self._examples.clip
        return self._add_examples(self.cosine_logits(embeddings), embeddings, space)

    def _add_examples(
        self, logits: Tensor, embeddings: Tensor, space: PrototypeSpace | None
    ) -> Tensor:
        """Return (N, K + 1) logits of texts with those of examples.

        Images lie closer to images than to texts: their cosines cannot be compared. So examples
        first share the probability with all that is not near them: a class at its level is as
        likely as all texts together, or as the class "none of the examples".
        """
        if space is None:
            return logits
        assert self._examples is not None
        near, none_index = space.score(embeddings), self._examples.none_index
        logits = logits.clone()
        if none_index is not None:
            logits[:, none_index] = 0
        else:
            near = near + logits[:, :-1].logsumexp(dim=1, keepdim=True)
        owners = self._examples.owners
        logits[:, owners] = torch.logaddexp(logits[:, owners], near)
        return logits

    def _set_prototypes(
        self, prototypes: Tensor, owners: Tensor, num_classes: int, logit_scale: float
    ) -> None:
        self.prototypes = prototypes
        self._owners = owners.to(prototypes.device)
        self._num_classes = num_classes
        self._is_one_each = torch.equal(owners.cpu(), torch.arange(num_classes))
        self._scale = torch.tensor(logit_scale).exp().item()
        self._examples: ExamplePrototypes | None = None

    def _set_weights(
        self, base: tuple[int, ...] | None, novel: tuple[int, ...] | None, device: torch.device
    ) -> None:
        for index in (*(base or ()), *(novel or ())):
            if not 0 <= index < self._num_classes:
                raise VocabularyError(
                    f"base and novel are class indices below {self._num_classes}, got {index}"
                )
        self.clip_weight = torch.full((self._num_classes + 1,), OTHER_WEIGHT, device=device)
        self.clip_weight[list(base or ())] = BASE_WEIGHT
        self.clip_weight[-1] = BASE_WEIGHT
        self.excluded = torch.zeros(self._num_classes + 1, dtype=torch.bool, device=device)
        if novel is not None:
            self.excluded[:-1] = True
            self.excluded[list(base or ()) + list(novel)] = False

    def cosine_logits(self, embeddings: Tensor) -> Tensor:
        """Score (N, D) region embeddings: (N, K + 1) float32, background last (always 0).

        A class scores by its best prototype, `EXCLUDED` without any; background's embedding is the
        zero vector.
        """
        cosines = F.normalize(embeddings.float(), dim=-1) @ self.prototypes.T * self._scale
        if not self._is_one_each:
            best = cosines.new_full((len(cosines), self._num_classes), EXCLUDED)
            owners = self._owners.expand(len(cosines), -1)
            cosines = best.scatter_reduce(1, owners, cosines, "amax", include_self=False)
        return F.pad(cosines, (0, 1))

    def fuse(self, head_logits: Tensor, clip_logits: Tensor, has_mask: Tensor) -> Tensor:
        """Return the log of the geometric mean of both (N, K + 1) softmaxes: (N, K + 1) float32.

        Where the mask is empty (`has_mask`, (N,) bool), frozen CLIP has no vote.
        """
        # In log space: a softmax entry can underflow to 0, and log 0 x 0 is NaN.
        weight = self.clip_weight * has_mask[:, None]
        fused = (1 - weight) * head_logits.log_softmax(-1) + weight * clip_logits.log_softmax(-1)
        return fused.masked_fill(self.excluded, EXCLUDED)


def best_classes(fused_logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return label (N,) int64, score and margin (N,) float32 of (N, K + 1) fused logits.

    A score is the softmax over the classes without background; a margin is the score minus the
    runner-up's, or the score itself where K is 1.
    """
    probabilities = fused_logits[:, :-1].softmax(dim=-1)
    top, index = probabilities.topk(min(2, probabilities.shape[1]), dim=-1)
    margins = top[:, 0] - (top[:, 1] if top.shape[1] > 1 else 0)
    return index[:, 0], top[:, 0], margins


def split_for_model(
    vocabulary: Vocabulary, trained_on: str | None
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Return base and novel class indices of a vocabulary for a model.

    A vocabulary with a split keeps it. Without one, base are the classes whose name is that of a
    class the model's label head was trained on (a base class of `trained_on`, or any of its classes
    where it has no split), and nothing is excluded.
    """
    if vocabulary.base is not None or trained_on is None:
        return vocabulary.base, vocabulary.novel
    trained = load_vocabulary(trained_on)
    seen = range(trained.num_classes) if trained.base is None else trained.base
    names = {fold_name(trained.names[index]) for index in seen}
    shown = (
        {fold_name(item.name) for item in vocabulary.references.classes}
        if (vocabulary.references)
        else set()
    )
    names -= shown  # the head knows the name, and not what it is shown here
    base = tuple(i for i, name in enumerate(vocabulary.names) if fold_name(name) in names)
    return base, None

"""OWL-ViT and OWLv2 by `hf:MODEL`: any vocabulary, one text query for each text of a class.

The text tower runs once per vocabulary, not once per image. A box has one class: the best of all
queries. The models need no suppression of their own; the run's takes out duplicates.

Letters: B images, N boxes (one a patch), Q queries, D embedding width.
Source: "Simple Open-Vocabulary Object Detection with Vision Transformers", arXiv 2205.06230, and
"Scaling Open-Vocabulary Object Detection", arXiv 2306.09683.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.huggingface.finder import Candidates

OWL_MODELS = ("owlv2", "owlvit")
_PROMPT = "a photo of a {}"
_TEXTS_A_PASS = 64
# 3600 boxes with 1024 queries are 15 MB per image.
_QUERIES_A_PASS = 1024


class OwlFinder:
    """An OWL network with the queries of a vocabulary; see `Finder`.

    Args:
        vocabulary: what to find; every text of a class is a query for it.
        is_padded: whether images are padded to a square, of which boxes are then shares.
    """

    def __init__(
        self,
        network: nn.Module,
        config: Any,
        tokenizer: Any,
        vocabulary: Vocabulary,
        is_padded: bool,
    ) -> None:
        self.network = network
        self.model_type: str = config.model_type
        self.is_padded = is_padded
        self.names: tuple[str | None, ...] = vocabulary.names
        texts = [_PROMPT.format(text) for texts in vocabulary.aliases for text in texts]
        tokens = tokenizer(
            texts,
            padding="max_length",
            max_length=config.text_config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        self.tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        owners = [index for index, texts in enumerate(vocabulary.aliases) for _ in texts]
        self.owner_of_query = torch.tensor(owners)
        self.depends_on = [self.names, owners, tokens["input_ids"].tolist()]
        self._queries: Tensor | None = None

    def find(self, inputs: Mapping[str, Tensor]) -> Candidates:
        """Run the image tower and compare with the queries; see `Finder.find`."""
        queries = self._embed_queries()
        features_BHWD = self.network.image_embedder(**inputs)[0]  # type: ignore[operator]
        features_BND = features_BHWD.flatten(1, 2)
        boxes = self.network.box_predictor(features_BND, features_BHWD)  # type: ignore[operator]
        best_scores = features_BND.new_full(features_BND.shape[:2], -torch.inf, dtype=torch.float32)
        best_queries = torch.zeros_like(best_scores, dtype=torch.int64)
        for start in range(0, len(queries), _QUERIES_A_PASS):
            part = queries[None, start : start + _QUERIES_A_PASS]
            logits_BNQ = self.network.class_predictor(features_BND, part)[0]  # type: ignore[operator]
            scores, indices = logits_BNQ.float().max(-1)
            best_queries = torch.where(scores > best_scores, indices + start, best_queries)
            best_scores = torch.maximum(scores, best_scores)
        labels = self.owner_of_query.to(best_queries.device)[best_queries]
        return Candidates(best_scores.sigmoid(), labels, boxes.float())

    def measure_frame(self, height: int, width: int) -> tuple[float, float]:
        """See `Finder.measure_frame`."""
        side = float(max(height, width))
        return (side, side) if self.is_padded else (float(width), float(height))

    def _embed_queries(self) -> Tensor:
        """(Q, D) text embeddings, computed at the first image and kept."""
        if self._queries is None:
            # The network keeps its towers under its own name: "owlv2", "owlvit".
            model = getattr(self.network, self.model_type)
            device = next(self.network.parameters()).device
            parts = []
            for start in range(0, len(self.owner_of_query), _TEXTS_A_PASS):
                batch = {
                    name: values[start : start + _TEXTS_A_PASS].to(device)
                    for name, values in self.tokens.items()
                }
                parts.append(model.text_projection(model.text_model(**batch).pooler_output))
            self._queries = torch.cat(parts)
        return self._queries

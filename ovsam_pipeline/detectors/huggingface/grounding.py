"""Grounding DINO and MM-Grounding-DINO by `hf:MODEL`: any vocabulary, as captions.

Class names are joined to captions "cat. red backpack." of at most 256 tokens; a large vocabulary
takes several passes. Which tokens are which class is known from how a caption is put together; a
class scores the mean over its tokens, as in the published evaluations.

Letters: B images, Q boxes, T tokens, C classes of a caption.
Source: "Grounding DINO", arXiv 2303.05499; "MM-Grounding-DINO", arXiv 2401.02361.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ovsam.errors import VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.huggingface.finder import Candidates, pick_best_pairs

GROUNDING_MODELS = ("grounding-dino", "mm-grounding-dino")
# The networks cut a caption into phrases at these.
_ENDS_A_PHRASE = str.maketrans(".?", "  ")


@dataclass(frozen=True)
class Caption:
    """Some classes as one text.

    Attributes:
        token_ids: T ids: start, then each class's and a full stop, then end.
        spans: first token and one past the last, of each class.
        first_label: label of the first class; the others follow.
    """

    token_ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    first_label: int


def build_captions(vocabulary: Vocabulary, tokenizer: Any, max_tokens: int) -> list[Caption]:
    """Join class names to captions that fit.

    A class is asked for by its first text; "." and "?" in it become spaces, because the networks
    end a phrase there. `tokenizer`: of the model; has a start token, an end token and ".".
    """
    phrases = [
        _tokenize(texts[0], name, tokenizer, max_tokens - 3)
        for texts, name in zip(vocabulary.aliases, vocabulary.names, strict=True)
    ]
    captions, first = [], 0
    for label, phrase in enumerate(phrases):
        length = 2 + sum(len(ids) + 1 for ids in phrases[first:label]) + len(phrase) + 1
        if length > max_tokens:
            captions.append(_join(phrases[first:label], first, tokenizer))
            first = label
    captions.append(_join(phrases[first:], first, tokenizer))
    return captions


def _tokenize(text: str, name: str, tokenizer: Any, most: int) -> list[int]:
    text = text.lower().translate(_ENDS_A_PHRASE)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not 0 < len(ids) <= most:
        raise VocabularyError(
            f"expected a class name of 1 to {most} tokens for this detector, got {len(ids)} tokens "
            f"of '{name[:80]}'; write it differently"
        )
    return ids


def _join(phrases: Sequence[Sequence[int]], first_label: int, tokenizer: Any) -> Caption:
    stop = tokenizer.convert_tokens_to_ids(".")
    ids, spans = [tokenizer.cls_token_id], []
    for phrase in phrases:
        spans.append((len(ids), len(ids) + len(phrase)))
        ids += [*phrase, stop]
    return Caption((*ids, tokenizer.sep_token_id), tuple(spans), first_label)


class GroundingFinder:
    """A grounding network with the captions of a vocabulary; see `Finder`."""

    def __init__(
        self, network: nn.Module, config: Any, tokenizer: Any, vocabulary: Vocabulary
    ) -> None:
        self.network = network
        self.names: tuple[str | None, ...] = vocabulary.names
        self.captions = build_captions(vocabulary, tokenizer, config.max_text_len)
        self.depends_on = [self.names, [caption.token_ids for caption in self.captions]]
        backbone: Any = network.model.backbone  # type: ignore[union-attr]
        self._body = _OncePerBatch(backbone.conv_encoder)
        backbone.conv_encoder = self._body

    def find(self, inputs: Mapping[str, Tensor]) -> Candidates:
        """Run the network once a caption; see `Finder.find`."""
        parts = [self._find_caption(caption, inputs) for caption in self.captions]
        self._body.forget()
        return Candidates(*(torch.cat(values, dim=1) for values in zip(*parts, strict=True)))

    def measure_frame(self, height: int, width: int) -> tuple[float, float]:
        """See `Finder.measure_frame`."""
        return float(width), float(height)

    def _find_caption(self, caption: Caption, inputs: Mapping[str, Tensor]) -> Candidates:
        pixels = inputs["pixel_values"]
        ids = torch.tensor(caption.token_ids, device=pixels.device).expand(len(pixels), -1)
        output = self.network(input_ids=ids, **inputs)
        probabilities_BQT = output.logits.float().sigmoid()
        means_BQ = [probabilities_BQT[..., start:end].mean(-1) for start, end in caption.spans]
        found = pick_best_pairs(torch.stack(means_BQ, dim=-1), output.pred_boxes.float())
        return found._replace(labels=found.labels + caption.first_label)


class _OncePerBatch(nn.Module):
    """The image body, which does not look at the text: run for the first caption, then repeated."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self._seen: Tensor | None = None
        self._output: Any = None

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> list[Any]:
        if self._seen is not pixel_values:
            self._seen, self._output = pixel_values, self.body(pixel_values, pixel_mask)
        return list(self._output)

    def forget(self) -> None:
        self._seen = self._output = None

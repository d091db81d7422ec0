"""CLIP's text transformer: class texts → unit embeddings, in the space of the image tower.

The structure is open_clip's, built from numbers (no download); the tokenizer is open_clip's, from
the file inside that package. The embedded model's tower has token rows only for the words it was
trained on, and refuses all others.

Letters: N texts, L tokens, C transformer width, D embedding width.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.config import ClipConfig, TextConfig
from ovsam.errors import CheckpointError, VocabularyError
from ovsam.text.known_names import check_nano_texts, describe_unknown_texts, list_nano_texts

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

_SIZES = ("small", "medium", "large")
TEMPLATES = (
    "a photo of a {}.",
    "This is a photo of a {}",
    "There is a {} in the scene",
    "There is the {} in the scene",
    "a photo of a {} in the scene",
    *(f"a photo of a {size} {{}}." for size in _SIZES),
    *(f"This is a photo of a {size} {{}}." for size in _SIZES),
    *(f"There is a {size} {{}} in the scene." for size in _SIZES),
)
"""The release's 14 sentences that a class text is put into."""

_PADDING_ID = 0
_CLIP_TEXT_KEYS = ("token_embedding.", "transformer.", "ln_final.")
_CLIP_TEXT_TENSORS = ("positional_embedding", "text_projection")


class TextTower(nn.Module):
    """CLIP text tower with random weights; `load_clip_state_dict` fills it from an open_clip file.

    OpenAI's CLIP was trained `with_quick_gelu`, x * sigmoid(1.702 x); LAION's with GELU. A compact
    tower embeds `known_texts` alone: its token table has rows for their tokens and the templates'.
    """

    token_ids: Tensor
    templates: tuple[str, ...] = TEMPLATES
    num_context_tokens = 0

    def __init__(
        self,
        text: TextConfig,
        embed_dim: int,
        *,
        with_quick_gelu: bool = False,
        known_texts: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, TextTransformer

        self.config = text
        self.dim = embed_dim
        self.with_quick_gelu = with_quick_gelu
        self.known_texts = None if known_texts is None else tuple(dict.fromkeys(known_texts))
        vocab_size = text.vocab_size
        if self.known_texts is not None:
            token_ids = _used_token_ids(self.known_texts)
            vocab_size = len(token_ids)
            self.register_buffer("token_ids", torch.tensor(token_ids, dtype=torch.int64))
        self.transformer = TextTransformer(
            context_length=text.context_length,
            vocab_size=vocab_size,
            width=text.width,
            heads=text.heads,
            layers=text.layers,
            output_dim=embed_dim,
            act_layer=QuickGELU if with_quick_gelu else nn.GELU,
        )

    @property
    def identity(self) -> str:
        """Hex digest of architecture and weights: towers of the same identity embed alike."""
        digest = hashlib.sha256(repr((self.config, self.dim, self.with_quick_gelu)).encode())
        for name, tensor in sorted(self.state_dict().items()):
            data = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
            digest.update(data.reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts without templates: (N, D) float32 of unit length.

        Texts longer than the context are cut, as open_clip does; `check_names` refuses them before.
        A compact tower raises VocabularyError for a token that it has no row for.
        """
        if not texts:
            return torch.empty(0, self.dim)
        tower = self.transformer
        tokens_NL = self.tokenize(texts).to(tower.positional_embedding.device)
        embedded_NLC, ends_N = self.embed_tokens(tokens_NL)
        num_tokens = embedded_NLC.shape[1]
        hidden_NLC = tower.transformer(
            embedded_NLC + tower.positional_embedding[:num_tokens],
            attn_mask=tower.attn_mask[:num_tokens, :num_tokens],
        )
        hidden_NC = tower.ln_final(hidden_NLC[torch.arange(len(texts)), ends_N])
        return F.normalize((hidden_NC @ tower.text_projection).float(), dim=-1)

    def embed_tokens(self, tokens_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, L, C) tokens without positions, and the (N,) int64 places of end tokens."""
        # The end token has the largest id of all.
        return self.transformer.token_embedding(tokens_NL), tokens_NL.argmax(dim=1)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return (N, L) int64 rows of the token table, L the longest text's token count.

        Attention is causal and the embedding is read at the end token, so what follows the longest
        text's end changes nothing and is left out.
        """
        most_tokens = self.config.context_length - self.num_context_tokens
        tokens_NL = _tokenizer()(list(texts), context_length=most_tokens)
        num_tokens = int((tokens_NL != _PADDING_ID).sum(dim=1).max())
        tokens_NL = tokens_NL[:, :num_tokens].contiguous()
        if self.known_texts is None:
            return tokens_NL
        ids = self.token_ids.cpu()
        rows_NL = torch.searchsorted(ids, tokens_NL).clamp(max=len(ids) - 1)
        unknown_N = (ids[rows_NL] != tokens_NL).any(dim=1)
        if unknown_N.any():
            first = texts[int(unknown_N.nonzero()[0])]
            raise VocabularyError(describe_unknown_texts([first], self.known_texts))
        return rows_NL

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse class texts that are too long for the templates, or unknown to a compact tower."""
        names = list(names)
        if self.known_texts is not None:
            check_nano_texts(names, self.known_texts)
        encode = _tokenizer().encode
        used = max(len(encode(template.format(""))) for template in self.templates)
        used += self.num_context_tokens + 2  # start and end token
        room = self.config.context_length - used
        for name in names:
            if (num_tokens := len(encode(name))) > room:
                raise VocabularyError(
                    f"expected class names of at most {room} tokens, got {num_tokens} in "
                    f"{name[:60]!r}; shorten it (a token is a short word or a piece of a long one)"
                )

    def load_clip_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Fill this tower from an open_clip state dict, ignoring its image tower's tensors."""
        found = {
            key: state_dict[source]
            for source in state_dict
            if (key := source.removeprefix("text.")).startswith(_CLIP_TEXT_KEYS)
            or key in _CLIP_TEXT_TENSORS
        }
        for key, parameter in self.transformer.state_dict().items():
            if key not in found:
                raise CheckpointError(
                    f"expected the text tensor {key!r} in the CLIP file, got none; "
                    "give open_clip's file of the whole model, not of the image tower"
                )
            if found[key].shape != parameter.shape:
                raise CheckpointError(
                    f"expected shape {tuple(parameter.shape)} for the text tensor {key!r}, got "
                    f"{tuple(found[key].shape)}; the file belongs to another CLIP"
                )
        own = self.transformer.state_dict()
        self.transformer.load_state_dict({key: found[key] for key in own})


def build_text_tower(clip: ClipConfig) -> TextTower:
    """Build the text tower that belongs to a CLIP image tower, with random weights."""
    assert clip.text is not None, "an ImageNet classifier has no text tower"
    return TextTower(
        clip.text,
        clip.embed_dim,
        with_quick_gelu=clip.pretrained == "openai",
        known_texts=list_nano_texts() if clip.text.compact else None,
    ).eval()


@functools.cache
def _tokenizer() -> SimpleTokenizer:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def _used_token_ids(texts: Iterable[str]) -> list[int]:
    """Return the sorted ids of all tokens in texts and templates; the end token stays last."""
    tokenizer = _tokenizer()
    used = {_PADDING_ID, tokenizer.sot_token_id, tokenizer.eot_token_id}
    for template in TEMPLATES:
        used.update(tokenizer.encode(template.format("")))
    for text in texts:
        for sentence in (text, *(template.format(text) for template in TEMPLATES)):
            used.update(tokenizer.encode(sentence))
    return sorted(used)

"""CoOp: learned tokens before a class name, in place of "a photo of a".

Source: CoOp (unified context, class token at the end); paper Table 1.
Letters: N texts, L tokens of the longest, M context tokens, C transformer width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovsam.baselines.config import BaselineConfig
from ovsam.config import TextConfig
from ovsam.errors import ConfigError
from ovsam.text.name_table import NameTable
from ovsam.text.text_tower import TextTower, build_text_tower

_SPREAD = 0.02  # of the random context, as in CoOp


class ContextTextTower(TextTower):
    """CLIP's text tower, reading [start] [context] name [.] [end]; the context alone is new."""

    templates = ("{}.",)

    def __init__(
        self,
        text: TextConfig,
        embed_dim: int,
        num_context_tokens: int,
        *,
        with_quick_gelu: bool = False,
        known_texts: Sequence[str] | None = None,
    ) -> None:
        """Make a tower with random weights and a random context; see `TextTower`."""
        super().__init__(text, embed_dim, with_quick_gelu=with_quick_gelu, known_texts=known_texts)
        most = text.context_length - 4  # start, a name of one token, full stop, end
        if not 0 < num_context_tokens <= most:
            raise ConfigError(
                f"context_tokens must be 1 to {most} for a text tower of {text.context_length} "
                f"tokens, got {num_context_tokens}"
            )
        self.num_context_tokens = num_context_tokens
        self.context = nn.Embedding(num_context_tokens, text.width)
        nn.init.normal_(self.context.weight, std=_SPREAD)

    def embed_tokens(self, tokens_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Insert the context after the start token; see `TextTower.embed_tokens`."""
        embedded_NLC, ends_N = super().embed_tokens(tokens_NL)
        context_NMC = self.context.weight.to(embedded_NLC.dtype).expand(len(tokens_NL), -1, -1)
        start_NLC, name_NLC = embedded_NLC[:, :1], embedded_NLC[:, 1:]
        embedded_NLC = torch.cat([start_NLC, context_NMC, name_NLC], dim=1)
        return embedded_NLC, ends_N + self.num_context_tokens

    @torch.no_grad()
    def start_from_words(self, words: str) -> None:
        """Set the context to the token embeddings of as many words, such as "a photo of a"."""
        tokens_L = self.tokenize([words])[0, 1:-1]
        if len(tokens_L) != self.num_context_tokens:
            raise ConfigError(
                f"expected words of {self.num_context_tokens} tokens to start the context from, "
                f"got {len(tokens_L)} in {words!r}; set context_tokens to {len(tokens_L)}"
            )
        device = self.context.weight.device
        self.context.weight.copy_(self.transformer.token_embedding(tokens_L.to(device)))


def add_context(tower: TextTower, num_context_tokens: int) -> ContextTextTower:
    """Return a copy of a tower with a random context before names."""
    known = None if tower.known_texts is None else list(tower.known_texts)
    added = ContextTextTower(
        tower.config,
        tower.dim,
        num_context_tokens,
        with_quick_gelu=tower.with_quick_gelu,
        known_texts=known,
    )
    own = {key: value for key, value in tower.state_dict().items() if "context." not in key}
    added.load_state_dict({**added.state_dict(), **own})
    return added.eval()


def build_baseline_namer(config: BaselineConfig) -> TextTower | NameTable:
    """Return what names a baseline's classes, with random weights: CLIP's text tower, or CoOp's.

    An ImageNet classifier has a table of names in its place.
    """
    if config.clip.text is None:
        return NameTable(config.clip.embed_dim)
    tower = build_text_tower(config.clip)
    return add_context(tower, config.context_tokens) if config.context_tokens else tower

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU

from ovsam.build import MODEL_NAMES, get_config
from ovsam.config import TextConfig
from ovsam.errors import CheckpointError, VocabularyError
from ovsam.text.text_tower import TEMPLATES, TextTower, build_text_tower
from ovsam.text.vocabulary_files import load_vocabulary

CONFIG = TextConfig(width=16, heads=2, layers=2)
TEXTS = ["cat", "a photo of a very large traffic light.", "fire hydrant"]


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return TextTower(CONFIG, 8).eval()


@pytest.fixture
def compact_tower():
    torch.manual_seed(0)
    return TextTower(CONFIG, 8, known_texts=["cat", "dog", "fire truck"]).eval()


def test_templates_are_the_release_s_fourteen():
    assert len(set(TEMPLATES)) == 14
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    assert "There is a medium {} in the scene." in TEMPLATES


def test_encode_equals_open_clip_s_own_forward(tower):
    expected = tower.transformer(SimpleTokenizer()(TEXTS))
    expected = expected / expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(tower.encode(TEXTS), expected)


def test_encode_of_no_texts_is_empty(tower):
    assert tower.encode([]).shape == (0, 8)


def test_batch_does_not_change_an_embedding(tower):
    together = tower.encode(TEXTS)
    alone = torch.cat([tower.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name != "nano"])
def test_numbers_are_those_of_open_clip(name):
    import open_clip

    clip = get_config(name).clip
    reference = open_clip.get_model_config(clip.open_clip_name)
    text = reference["text_cfg"]
    assert (clip.text.width, clip.text.heads, clip.text.layers) == (
        text["width"],
        text["heads"],
        text["layers"],
    )
    assert clip.text.context_length == text["context_length"]
    assert clip.embed_dim == reference["embed_dim"]


def test_openai_towers_use_quick_gelu_and_laion_s_do_not():
    def activations(name):
        with torch.device("meta"):
            tower = build_text_tower(get_config(name).clip)
        return {type(module) for module in tower.modules()}

    assert QuickGELU in activations("rn50")
    assert QuickGELU not in activations("convnext-b")


def test_identity_follows_weights_and_architecture(tower):
    torch.manual_seed(0)
    assert TextTower(CONFIG, 8).identity == tower.identity
    torch.manual_seed(0)
    assert TextTower(CONFIG, 8, with_quick_gelu=True).identity != tower.identity
    before = tower.identity
    with torch.no_grad():
        tower.transformer.ln_final.bias[3] += 1e-6
    assert tower.identity != before


def test_names_up_to_the_context_are_taken(tower):
    tower.check_names(["cat", "cat " * 67])


def test_over_long_name_is_refused_with_its_length(tower):
    with pytest.raises(
        VocabularyError, match=r"at most 67 tokens, got 70 in 'cat cat .*shorten it"
    ):
        tower.check_names(["dog", "cat " * 70])


def test_longest_name_allowed_is_not_cut_in_any_template(tower):
    sentences = [template.format("cat " * 67) for template in TEMPLATES]
    rows = tower.tokenize(sentences)
    end = SimpleTokenizer().eot_token_id
    assert all(int(row[row.argmax()]) == end for row in rows)
    encode = SimpleTokenizer().encode
    assert max(len(encode(sentence)) + 2 for sentence in sentences) == 77


def test_clip_state_dict_fills_the_tower(tower):
    torch.manual_seed(1)
    other = TextTower(CONFIG, 8)
    state = {**other.transformer.state_dict(), "visual.conv1.weight": torch.zeros(1)}
    tower.load_clip_state_dict(state)
    assert tower.identity == other.identity


def test_custom_text_layout_is_read_too(tower):
    torch.manual_seed(1)
    other = TextTower(CONFIG, 8)
    tower.load_clip_state_dict({f"text.{k}": v for k, v in other.transformer.state_dict().items()})
    assert tower.identity == other.identity


def test_clip_file_without_text_is_refused(tower):
    with pytest.raises(CheckpointError, match=r"'positional_embedding' .* got none; .*whole model"):
        tower.load_clip_state_dict({"visual.conv1.weight": torch.zeros(1)})


def test_clip_file_of_another_size_is_refused(tower):
    other = TextTower(TextConfig(width=32, heads=2, layers=2), 8)
    with pytest.raises(CheckpointError, match=r"expected shape \(77, 16\) .* got \(77, 32\)"):
        tower.load_clip_state_dict(other.transformer.state_dict())


def test_compact_tower_equals_the_full_one_with_the_same_rows(compact_tower):
    full = TextTower(CONFIG, 8).eval()
    state = compact_tower.transformer.state_dict()
    table = torch.zeros(CONFIG.vocab_size, CONFIG.width)
    table[compact_tower.token_ids] = state["token_embedding.weight"]
    full.transformer.load_state_dict({**state, "token_embedding.weight": table})
    sentences = [template.format("fire truck") for template in TEMPLATES]
    torch.testing.assert_close(compact_tower.encode(sentences), full.encode(sentences))


def test_compact_tower_is_small(compact_tower):
    assert len(compact_tower.token_ids) < 40
    assert compact_tower.transformer.token_embedding.weight.shape == (
        len(compact_tower.token_ids),
        16,
    )


def test_compact_tower_refuses_names_it_cannot_know(compact_tower):
    with pytest.raises(VocabularyError, match=r"not 'fire cat', 'yak'; `ovsam vocabularies nano`"):
        compact_tower.check_names(["cat", "fire cat", "yak"])
    compact_tower.check_names(["cat", "DOG", "fire truck"])


def test_refusal_says_how_to_get_real_weights(compact_tower):
    unknown = ["forklift", "yak", "axolotl", "gnu"]
    with pytest.raises(VocabularyError, match=r"'axolotl' and 1 more; .*ovsam models fetch"):
        compact_tower.check_names(unknown)


def test_compact_tower_refuses_to_encode_unknown_tokens(compact_tower):
    with pytest.raises(VocabularyError, match=r"not 'a photo of a yak.'"):
        compact_tower.encode(["a photo of a cat.", "a photo of a yak."])


def test_nano_knows_every_text_of_its_vocabulary():
    tower = build_text_tower(get_config("nano").clip)
    texts = [text for aliases in load_vocabulary("nano").aliases for text in aliases]
    tower.check_names(texts)
    assert tower.encode(texts[:3]).shape == (3, 256)

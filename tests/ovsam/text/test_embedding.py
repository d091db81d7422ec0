import logging

import pytest
import torch
import torch.nn.functional as F

from ovsam.config import TextConfig
from ovsam.errors import VocabularyError
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.text_tower import TEMPLATES, TextTower
from ovsam.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["cat", "dog", "cow"], aliases=[["cat", "kitty"], ["dog"], ["cat"]])


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return CountingTower(TextConfig(width=16, heads=2, layers=1), 8).eval()


class CountingTower(TextTower):
    """Counts the texts that it embeds."""

    num_encoded = 0

    def encode(self, texts):
        self.num_encoded += len(texts)
        return super().encode(texts)


def embed(tower: TextTower, folder, **options) -> torch.Tensor:
    return embed_vocabulary(VOCABULARY, tower, cache_dir=folder, **options).embeddings


def damage(path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[-10:]
    elif how == "flipped bit":
        data[-1] ^= 1
    else:
        data.clear()
    path.write_bytes(data)


def test_each_template_is_normalised_averaged_normalised(tower, tmp_path):
    sentences = tower.encode([template.format("kitty") for template in TEMPLATES])
    expected = F.normalize(sentences.detach().mean(dim=0), dim=0)
    torch.testing.assert_close(embed(tower, tmp_path)[0, 1], expected)


def test_classes_with_fewer_texts_repeat_their_first(tower, tmp_path):
    embeddings = embed(tower, tmp_path)
    assert embeddings.shape == (3, 2, 8)
    assert torch.equal(embeddings[1, 0], embeddings[1, 1])
    assert torch.equal(embeddings[2, 0], embeddings[0, 0])
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(3, 2))


def test_repeated_texts_are_embedded_once_and_the_second_call_reads_the_disk(tower, tmp_path):
    first = embed(tower, tmp_path)
    assert tower.num_encoded == 3 * len(TEMPLATES)
    assert torch.equal(embed(tower, tmp_path), first)
    assert tower.num_encoded == 3 * len(TEMPLATES)
    assert not first.requires_grad


@pytest.mark.parametrize("batch_size", [1, 14, 30, 1000])
def test_batch_size_changes_nothing_and_progress_reaches_the_end(tower, tmp_path, batch_size):
    seen = []
    embeddings = embed(
        tower,
        tmp_path,
        batch_size=batch_size,
        progress=lambda done, total: seen.append((done, total)),
    )
    torch.testing.assert_close(embeddings, embed(tower, tmp_path / "other"))
    assert seen[-1] == (3, 3)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("how", ["cut", "flipped bit", "empty"])
def test_damaged_cache_file_is_rebuilt_with_a_warning(tower, tmp_path, caplog, how):
    expected = embed(tower, tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path, how)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(embed(tower, tmp_path), expected)
    assert "damaged and computed again" in caplog.text
    caplog.clear()
    assert torch.equal(embed(tower, tmp_path), expected)
    assert not caplog.text


def test_other_weights_and_other_texts_have_other_files(tower, tmp_path):
    embed(tower, tmp_path)
    with torch.no_grad():
        tower.transformer.ln_final.bias += 1
    embed(tower, tmp_path)
    embed_vocabulary(Vocabulary(["cat", "yak"]), tower, cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_cache_that_cannot_be_written_is_only_a_warning(tower, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    embeddings = embed(tower, tmp_path / "file" / "folder")
    assert embeddings.shape == (3, 2, 8)
    assert "embeddings are not cached" in caplog.text


def test_cache_is_in_the_user_s_cache_folder(tower, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "mine"))
    embed(tower, None)
    (path,) = (tmp_path / "mine" / "text").iterdir()
    assert path.suffix == ".safetensors"


def test_given_embeddings_are_kept(tower, tmp_path):
    vocabulary = Vocabulary(["cat", "dog"], torch.eye(2))
    assert embed_vocabulary(vocabulary, tower, cache_dir=tmp_path) is vocabulary


def test_names_are_checked_before_anything_is_embedded(tower, tmp_path):
    with pytest.raises(VocabularyError, match=r"at most 67 tokens"):
        embed_vocabulary(Vocabulary(["a " * 80]), tower, cache_dir=tmp_path)
    assert tower.num_encoded == 0

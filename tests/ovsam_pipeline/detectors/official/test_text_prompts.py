import pytest
import torch

from ovsam.errors import CheckpointError, VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary, parse_vocabulary
from ovsam_pipeline.detectors.official import text_prompts
from ovsam_pipeline.detectors.official.text_prompts import (
    embed_class_names,
    load_clip_text,
    write_class_texts,
)


@pytest.fixture(scope="module")
def tower():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_prompts, "_LAYERS", 1)
        return load_clip_text(None, seed=0)


def test_one_sentence_a_class_is_embedded_and_kept_on_disk(tower, tmp_path, monkeypatch):
    vocabulary = parse_vocabulary("mug,red backpack,sparrow")
    embeddings = embed_class_names(vocabulary, tower, cache_dir=tmp_path)
    expected = tower.encode(["a mug", "a red backpack", "a sparrow"])
    assert embeddings.shape == (3, 512)
    torch.testing.assert_close(embeddings, expected)
    monkeypatch.setattr(type(tower), "encode", None)
    assert torch.equal(embed_class_names(vocabulary, tower, cache_dir=tmp_path), embeddings)


def test_names_of_lvis_stay_as_detic_was_trained_on_them():
    texts = write_class_texts(load_vocabulary("lvis"))
    assert "arctic_(type_of_shoe)" in texts
    assert len(texts) == 1203
    assert write_class_texts(Vocabulary(["teddy_bear", "hot  dog"])) == ("teddy bear", "hot dog")


def test_order_of_names_is_the_order_of_rows(tower, tmp_path):
    ahead = embed_class_names(parse_vocabulary("mug,sparrow"), tower, cache_dir=tmp_path)
    back = embed_class_names(parse_vocabulary("sparrow,mug"), tower, cache_dir=tmp_path)
    torch.testing.assert_close(ahead, back.flip(0))


def test_name_longer_than_the_tower_reads_is_refused(tower, tmp_path):
    with pytest.raises(VocabularyError, match="class names of at most"):
        embed_class_names(Vocabulary(["a b " * 50]), tower, cache_dir=tmp_path)


def test_file_of_another_clip_is_refused(tmp_path):
    torch.save({"positional_embedding": torch.zeros(77, 640)}, tmp_path / "clip.pth")
    with pytest.raises(CheckpointError, match=r"the CLIP file, got none|another CLIP"):
        load_clip_text(tmp_path / "clip.pth")


def test_weights_of_a_file_are_those_of_the_tower(tower, tmp_path, monkeypatch):
    monkeypatch.setattr(text_prompts, "_LAYERS", 1)
    torch.save(tower.transformer.state_dict(), tmp_path / "clip.pth")
    assert load_clip_text(tmp_path / "clip.pth").identity == tower.identity

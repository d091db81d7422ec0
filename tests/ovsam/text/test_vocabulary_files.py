import pytest
import torch
from safetensors.torch import save_file

from ovsam.errors import VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary, save_vocabulary


def make_vocabulary() -> Vocabulary:
    return Vocabulary(
        ["part 4711", "défaut B"],
        torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]),
        base=[0],
        aliases=[["screw", "bolt"], []],
        category_ids=[7, 9],
    )


def test_classes_and_embeddings_come_back(tmp_path):
    given = make_vocabulary()
    save_vocabulary(given, tmp_path / "mine.safetensors")
    found = load_vocabulary(tmp_path / "mine.safetensors")
    assert found.classes == given.classes
    assert found.base == (0,)
    assert torch.equal(found.embeddings, torch.tensor([[[0.6, 0.8]], [[1.0, 0.0]]]))
    assert found.content_hash == given.content_hash
    assert found.title == "mine"


def test_own_embeddings_are_part_of_what_decides_labels():
    names = Vocabulary(["a", "b"])
    one, other = torch.eye(2), torch.eye(2).flip(0)
    hashes = {names.with_own_embeddings(e).content_hash for e in (one, other)}
    assert len(hashes | {names.with_embeddings(one).content_hash}) == 3


def test_all_classes_become_base_and_keep_their_embeddings():
    found = make_vocabulary().all_base()
    assert found.base == (0, 1)
    assert found.embeddings is not None


def test_vocabulary_without_embeddings_is_not_written(tmp_path):
    with pytest.raises(VocabularyError, match="expected embeddings in vocabulary custom, got none"):
        save_vocabulary(Vocabulary(["a"]), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused_by_name(tmp_path):
    save_file({"weight": torch.zeros(1)}, str(tmp_path / "model.safetensors"))
    with pytest.raises(VocabularyError, match="got another safetensors file"):
        load_vocabulary(tmp_path / "model.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(VocabularyError, match="cannot read the vocabulary"):
        load_vocabulary(tmp_path / "broken.safetensors")
    with pytest.raises(VocabularyError, match="cannot read the vocabulary"):
        load_vocabulary(tmp_path / "none.safetensors")

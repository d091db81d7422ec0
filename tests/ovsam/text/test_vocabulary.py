import json
import pickle

import pytest
import torch

from ovsam.errors import VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary, parse_vocabulary


@pytest.mark.parametrize(
    ("name", "classes", "base", "novel"),
    [
        ("coco", 80, 48, 17),
        ("coco-80", 80, None, None),
        ("lvis", 1203, 866, 337),
        ("lvis+imagenet21k", 22047, 866, 21181),
        ("objects365", 365, None, None),
        ("openimages", 500, None, None),
    ],
)
def test_built_in_vocabularies_have_their_published_sizes(name, classes, base, novel):
    vocabulary = load_vocabulary(name)
    assert vocabulary.num_classes == len(vocabulary) == len(set(vocabulary.names)) == classes
    assert (vocabulary.base and len(vocabulary.base)) == base
    assert (vocabulary.novel and len(vocabulary.novel)) == novel
    assert all(vocabulary.aliases)


def test_nano_has_a_split_and_at_least_250_classes():
    vocabulary = load_vocabulary("nano")
    assert vocabulary.num_classes >= 250
    assert len(vocabulary.base) + len(vocabulary.novel) == vocabulary.num_classes


def test_coco_has_the_released_prompt_words_ids_and_split():
    vocabulary = load_vocabulary("coco")
    assert vocabulary.classes[0].aliases[:3] == ("person", "child", "girl")
    assert vocabulary.category_ids[-1] == 90
    orange = vocabulary.classes[vocabulary.index_of("orange")]
    assert orange.aliases == ("orange fruit",)
    splits = {item.name: item.split for item in vocabulary.classes}
    assert (splits["person"], splits["airplane"], splits["hot dog"]) == ("base", "novel", None)


def test_lvis_has_frequencies_and_synonyms_beside_the_embedded_names():
    vocabulary = load_vocabulary("lvis")
    spray = vocabulary.classes[vocabulary.index_of("spray can")]
    assert (spray.name, spray.aliases, spray.frequency) == (
        "aerosol_can",
        ("aerosol can",),
        "common",
    )
    rare = {item.split for item in vocabulary.classes if item.frequency == "rare"}
    assert rare == {"novel"}


def test_with_synonyms_embeds_them_too():
    vocabulary = load_vocabulary("lvis").with_synonyms()
    assert vocabulary.classes[0].aliases == ("aerosol can", "spray can")


def test_repeated_names_of_imagenet_keep_their_text_and_get_their_synset():
    vocabulary = load_vocabulary("lvis+imagenet21k")
    again = vocabulary.classes[vocabulary.index_of("apple (apple.n.02)")]
    assert again.aliases == vocabulary.classes[vocabulary.index_of("apple")].aliases == ("apple",)
    assert vocabulary.category_ids == tuple(range(1, 22048))


def test_objects365_names_are_split_at_the_slash():
    vocabulary = load_vocabulary("objects365")
    assert vocabulary.classes[vocabulary.index_of("Monitor/TV")].aliases == ("monitor", "tv")


def test_text_with_commas_is_the_list_itself_unless_it_is_a_file(tmp_path, monkeypatch):
    assert load_vocabulary("mug,red backpack,sparrow").names == ("mug", "red backpack", "sparrow")
    assert load_vocabulary("mug,").names == ("mug",)
    assert load_vocabulary(",".join(f"thing {i}" for i in range(2000))).num_classes == 2000
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").write_text("cat\ndog\n")
    assert load_vocabulary("a,b").names == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cocoo", r"unknown vocabulary 'cocoo' \(did you mean 'coco'"),
        ("cat,dog.txt", r"vocabulary file cat,dog.txt does not exist"),
        ("missing.txt", r"vocabulary file missing.txt does not exist"),
    ],
)
def test_unknown_vocabulary_says_what_there_is(name, message):
    with pytest.raises(VocabularyError, match=message):
        load_vocabulary(name)


def test_file_is_titled_by_its_name(tmp_path):
    (tmp_path / "pets.txt").write_text("cat, kitty\ndog\n")
    vocabulary = load_vocabulary(tmp_path / "pets.txt")
    assert (vocabulary.title, vocabulary.names) == ("pets", ("cat", "dog"))


def test_own_form_is_what_is_packaged(tmp_path):
    content = {"title": "two", "classes": [{"id": 5, "name": "cat", "split": "base"}, "dog"]}
    (tmp_path / "x.json").write_text(json.dumps(content))
    vocabulary = load_vocabulary(tmp_path / "x.json")
    assert (vocabulary.title, vocabulary.category_ids, vocabulary.base) == ("two", (5, 2), (0,))


def test_comma_list_makes_a_vocabulary():
    assert parse_vocabulary("cat,dog").names == ("cat", "dog")


def test_constructor_takes_splits_aliases_and_ids():
    vocabulary = Vocabulary(
        ["cat", "dog", "cow"], base=[0], novel=torch.tensor([2]), aliases=[["kitty"], [], ["cow"]],
        category_ids=[7, 8, 9],
    )  # fmt: skip
    assert (vocabulary.base, vocabulary.novel) == ((0,), (2,))
    assert vocabulary.aliases == (("kitty",), ("dog",), ("cow",))
    assert vocabulary.category_ids == (7, 8, 9)
    assert Vocabulary(["cat"], aliases=[["Kitty"]]).index_of("kitty") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, r"at least one class"),
        ({"names": "cat"}, r"a list of class names, got the text 'cat'"),
        ({"names": ["cat", " "]}, r"expected a class name at index 1"),
        ({"names": ["cat", "Cat"]}, r"'cat' at index 0 and 'Cat' at index 1"),
        ({"names": ["cat"], "base": [1]}, r"indices from 0 to 0 in base, got 1"),
        ({"names": ["cat"], "base": [0], "novel": [0]}, r"base or in novel, got 'cat' in both"),
        ({"names": ["cat", 3]}, r"expected a class name at index 1, got 3; write a text"),
        ({"names": ["cat"], "aliases": ["kitty"]}, r"list of texts as aliases at index 0, got 'ki"),
        ({"names": ["cat"], "aliases": [[" "]]}, r"list of texts as aliases at index 0, got \[' '"),
        ({"names": ["cat"], "category_ids": [1, 2]}, r"got 2 ids and 1 alias lists"),
        ({"names": ["cat"], "embeddings": torch.ones(2, 1, 4)}, r"\(1, K, D\) .* got \(2, 1, 4\)"),
        (
            {"names": ["cat"], "embeddings": torch.zeros(1, 1, 4)},
            r"finite embeddings that are not zero",
        ),
    ],
)
def test_constructor_refuses(arguments, message):
    with pytest.raises(VocabularyError, match=message):
        Vocabulary(**arguments)


def test_given_embeddings_become_float32_unit_vectors_with_a_prototype_axis():
    vocabulary = Vocabulary(["cat", "dog"], torch.tensor([[3.0, 4.0], [0.0, 2.0]]).double())
    expected = torch.tensor([[[0.6, 0.8]], [[0.0, 1.0]]])
    torch.testing.assert_close(vocabulary.embeddings, expected)


def test_content_hash_sees_what_decides_labels():
    hashes = {
        Vocabulary(["cat", "dog"]).content_hash,
        Vocabulary(["dog", "cat"]).content_hash,
        Vocabulary(["cat", "dog"], base=[0]).content_hash,
        Vocabulary(["cat", "dog"], category_ids=[1, 3]).content_hash,
        Vocabulary(["cat", "dog"], aliases=[["kitty"], ["dog"]]).content_hash,
        Vocabulary(["cat", "dog"], torch.eye(2)).content_hash,
    }
    assert len(hashes) == 6
    assert Vocabulary(["cat", "dog"], title="other").content_hash in hashes


def test_computed_embeddings_do_not_change_the_content_hash():
    vocabulary = Vocabulary(["cat", "dog"])
    assert vocabulary.with_embeddings(torch.eye(2)).content_hash == vocabulary.content_hash


def test_vocabulary_survives_pickling():
    vocabulary = Vocabulary(["cat", "dog"], torch.eye(2), base=[0], title="pets")
    copy = pickle.loads(pickle.dumps(vocabulary))  # noqa: S301 - our own bytes
    assert (copy.names, copy.title, copy.content_hash) == (
        vocabulary.names,
        "pets",
        vocabulary.content_hash,
    )


def test_subset_keeps_order_ids_and_embeddings():
    vocabulary = Vocabulary(["cat", "dog", "cow"], torch.eye(3), base=[0], novel=[2])
    chosen = vocabulary.subset(["COW", "cat", "cow"])
    assert (chosen.names, chosen.category_ids) == (("cow", "cat"), (3, 1))
    assert (chosen.base, chosen.novel) == ((1,), (0,))
    torch.testing.assert_close(chosen.embeddings, torch.eye(3)[[2, 0]][:, None])


def test_index_of_finds_names_aliases_and_tells_the_nearest():
    vocabulary = Vocabulary(["cat", "traffic_light"], aliases=[["cat", "kitty"], []])
    assert [vocabulary.index_of(n) for n in ("Kitty", "Traffic Light")] == [0, 1]
    with pytest.raises(VocabularyError, match=r"unknown class 'traffic lihgt' .*did you mean"):
        vocabulary.index_of("traffic lihgt")


def test_index_of_refuses_an_alias_of_two_classes():
    vocabulary = Vocabulary(["bank", "shore"], aliases=[["edge"], ["edge"]])
    with pytest.raises(VocabularyError, match=r"another name of several classes: 'bank', 'shore'"):
        vocabulary.index_of("edge")


def test_every_built_in_name_is_loadable_in_capitals():
    for name in BUILT_IN_VOCABULARIES:
        if name != "lvis+imagenet21k":
            assert load_vocabulary(name.upper()).title == name


def test_repr_says_what_it_is():
    assert repr(load_vocabulary("coco")) == "Vocabulary('coco', 80 classes)"

import json

import pytest
import torch

from ovsam.errors import VocabularyError
from ovsam.text.class_list import read_class_file
from ovsam.text.class_rules import ClassRules
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import read_vocabulary, save_vocabulary

ENTRY = {
    "name": "cup",
    "conf": 0.4,
    "min_area": "1%",
    "max_per_image": 3,
    "ignore": False,
    "aliases": ["mug"],
}


def read(tmp_path, content, name="own.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_class_file(path)[0]


def test_a_json_file_gives_a_class_its_rules(tmp_path):
    cup, dog = read(tmp_path, [ENTRY, {"name": "dog", "min_area": 50, "ignore": True}])
    assert cup.rules == ClassRules(conf=0.4, min_area_share=0.01, max_per_image=3)
    assert cup.aliases == ("cup", "mug")
    assert dog.rules == ClassRules(min_area=50.0, ignore=True)


def test_a_yaml_file_whose_values_are_texts_gives_the_same(tmp_path):
    text = "cup: {conf: 0.4, min_area: 1%, max_per_image: 3, ignore: no}\ndog: {ignore: yes}\n"
    cup, dog = read(tmp_path, text, "own.yaml")
    assert cup.rules == ClassRules(conf=0.4, min_area_share=0.01, max_per_image=3)
    assert dog.rules == ClassRules(ignore=True)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"conf": "high"}, "expected 'conf' as a number from 0 to 1 at entry 1 of {path}, got 'hi"),
        ({"conf": 1.5}, "expected 'conf' as a number from 0 to 1 at entry 1 of {path}, got 1.5"),
        ({"conf": -0.1}, "expected 'conf' as a number from 0 to 1 at entry 1 of {path}, got -0.1"),
        ({"conf": float("nan")}, "from 0 to 1 at entry 1 of {path}, got nan"),
        ({"conf": True}, "as a number from 0 to 1 at entry 1 of {path}, got True"),
        ({"min_area": "big"}, "expected 'min_area' as pixels, or a share of the image such as"),
        ({"min_area": "x%"}, "such as '1%', at entry 1 of {path}, got 'x%'"),
        ({"min_area": "101%"}, "from 0% to 100% of the image at entry 1 of {path}, got '101%'"),
        ({"min_area": "nan%"}, "from 0% to 100% of the image at entry 1 of {path}, got 'nan%'"),
        ({"min_area": -1}, "expected 'min_area' as a number of at least 0 at entry 1"),
        ({"min_area": 10**400}, "expected 'min_area' as a number of at least 0 at entry 1"),
        ({"max_per_image": 0}, "as a whole number of at least 1 at entry 1 of {path}, got 0; a"),
        ({"max_per_image": 1.5}, "as a whole number of at least 1 at entry 1 of {path}, got 1.5"),
        ({"max_per_image": "some"}, "a whole number of at least 1 at entry 1 of {path}, got 'some"),
        ({"ignore": "maybe"}, "expected 'ignore' as true or false at entry 1 of {path}, got 'may"),
        ({"ignore": 2}, "expected 'ignore' as true or false at entry 1 of {path}, got 2"),
        ({"min-area": 3}, "unknown key 'min-area' at entry 1 of {path} (did you mean 'min_area'?)"),
        ({"confidence": 0.5}, "unknown key 'confidence' at entry 1 of {path} (did you mean 'conf'"),
        ({"Ignore": True}, "unknown key 'Ignore' at entry 1 of {path} (did you mean 'ignore'?)"),
    ],
    ids=lambda value: next(iter(value.items())).__repr__() if isinstance(value, dict) else None,
)
def test_wrong_rules_are_refused_with_one_sentence(tmp_path, entry, sentence):
    with pytest.raises(VocabularyError) as refused:
        read(tmp_path, [{"name": "cup", **entry}])
    assert sentence.format(path=tmp_path / "own.json") in str(refused.value)


def test_keys_of_coco_and_lvis_are_no_misspelt_rules(tmp_path):
    category = {"id": 1, "name": "cup", "supercategory": "kitchen", "color": [1, 2, 3]}
    category |= {"image_count": 3, "instance_count": 4, "def": "a cup", "isthing": 1}
    assert not read(tmp_path, {"categories": [category]})[0].rules


def test_rules_change_the_hash_and_no_rules_leave_it(tmp_path):
    def hash_of(content):
        return Vocabulary.from_classes(read(tmp_path, content), "own").content_hash

    plain = hash_of([{"name": "cup"}])
    assert plain == "737b4203eab9934a2d5736a7b8b3ceef17d03ede987bf9d541de406300cb2dc5"
    assert hash_of([{"name": "cup", "ignore": False}]) == plain
    assert len({plain, *(hash_of([{"name": "cup", "conf": c}]) for c in (0, 0.5))}) == 3


def test_saved_vocabularies_keep_rules(tmp_path):
    vocabulary = Vocabulary.from_classes(read(tmp_path, [ENTRY, {"name": "dog"}]), "own")
    path = tmp_path / "own.safetensors"
    save_vocabulary(vocabulary.with_own_embeddings(torch.eye(2)), path)
    assert read_vocabulary(path).classes == vocabulary.classes
    assert vocabulary.subset(["cup"]).rules == {1: vocabulary.classes[0].rules}

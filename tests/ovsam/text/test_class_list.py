import gzip
import json
import os

import pytest

from ovsam.errors import VocabularyError
from ovsam.text.class_list import (
    MAX_NAME_CHARACTERS,
    fold_name,
    make_class,
    parse_class_names,
    read_class_file,
    split_prototypes,
)


def read(tmp_path, name: str, content: object):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_class_file(path)[0]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Traffic Light", ("traffic light",)),
        ("aerosol_can", ("aerosol can",)),
        ("Cabinet/shelf", ("cabinet", "shelf")),
        ("car, automobile", ("car", "automobile")),
        ("tape_(sticky_cloth_or_paper)", ("tape (sticky cloth", "paper)")),
        (" cup ,, cup", ("cup",)),
        ("orange", ("orange",)),
    ],
)
def test_split_prototypes_follows_the_release(name, texts):
    assert split_prototypes(name) == texts


def test_text_file_has_one_class_a_line_with_aliases(tmp_path):
    classes = read(tmp_path, "pets.txt", "\ufeff# pets\nCat, kitty\n\ndog\n")
    assert [(c.category_id, c.name, c.aliases) for c in classes] == [
        (1, "Cat", ("cat", "kitty")),
        (2, "dog", ("dog",)),
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"name": "cat", "aliases": ["kitty"]}, {"name": "dog"}],
        {"cat": ["kitty"], "dog": []},
        {"cat": "kitty", "dog": None},
        {"cat": {"aliases": ["kitty"]}, "dog": {}},
        {"title": "pets", "classes": [{"name": "cat", "aliases": ["kitty"]}, "dog"]},
    ],
    ids=["objects", "lists", "texts", "mappings", "our form"],
)
def test_json_forms_read_alike(tmp_path, content):
    classes = read(tmp_path, "pets.json", content)
    assert [(c.name, c.aliases) for c in classes] == [("cat", ("cat", "kitty")), ("dog", ("dog",))]


def test_coco_file_keeps_its_category_ids(tmp_path):
    categories = [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "car"}]
    classes = read(tmp_path, "instances.json", {"images": [], "categories": categories})
    assert [(c.category_id, c.name) for c in classes] == [(18, "dog"), (3, "car")]


def test_lvis_file_gets_its_split_from_the_frequencies(tmp_path):
    categories = [
        {"id": 1, "name": "ax", "frequency": "r", "synonyms": ["ax", "axe"]},
        {"id": 2, "name": "bed", "frequency": "f", "synonyms": ["bed"]},
    ]
    ax, bed = read(tmp_path, "lvis.json", {"categories": categories})
    assert (ax.split, ax.frequency, ax.synonyms, ax.aliases) == ("novel", "rare", ("axe",), ("ax",))
    assert (bed.split, bed.frequency, bed.synonyms) == ("base", "frequent", ())


def test_prompts_replace_the_name_and_may_be_shared(tmp_path):
    content = [
        {"name": "orange", "prompts": ["orange fruit"]},
        {"name": "fruit", "prompts": "Orange_fruit"},
    ]
    classes = read(tmp_path, "a.json", content)
    assert [c.aliases for c in classes] == [("orange fruit",), ("orange fruit",)]


@pytest.mark.parametrize(
    "content",
    ["names: [cat, dog]", "names:\n  0: cat\n  1: dog\n", "- cat\n- dog\n", "cat: []\ndog: []\n"],
    ids=["names list", "ultralytics", "list", "mapping"],
)
def test_yaml_forms_read_alike(tmp_path, content):
    assert [c.name for c in read(tmp_path, "data.yaml", content)] == ["cat", "dog"]


def test_ultralytics_ids_are_kept(tmp_path):
    classes = read(tmp_path, "data.yml", "path: x\nnames:\n  0: cat\n  7: dog\n")
    assert [c.category_id for c in classes] == [0, 7]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", " \n", r"expected class names in .*a.txt, got an empty file"),
        ("a.txt", "# only\n", r"got only comments"),
        ("a.txt", "cat\ndog\nCAT\n", r"'cat' at line 1 \('cat'\) and at line 3 \('CAT'\)"),
        ("a.txt", "cat\nkitty, cat\n", r"'cat' at line 1 .* and at line 2 \('kitty'\)"),
        ("a.txt", "cat\n, kitty\n", r"expected a class name at line 2 of .*a.txt"),
        ("a.txt", "x" * (MAX_NAME_CHARACTERS + 1), r"at most 256 characters at line 1 .* got 257"),
        ("a.json", "{", r"expected JSON in .*a.json, got an error at line 1"),
        ("a.json", [], r"got an empty list"),
        ("a.json", "3", r"expected a list or a mapping .* got int"),
        ("a.json", ["cat", 3], r"with a text 'name' at entry 2 of .*, got 3"),
        ("a.json", ["cat", "traffic_light", "Traffic Light"], r"entry 2 .* and at entry 3"),
        ("a.json", [{"name": "cat", "aliases": 3}], r"a list of texts as 'aliases' at entry 1"),
        ("a.json", [{"name": "cat", "split": "rare"}], r"'base' or 'novel' .* got 'rare'"),
        ("a.json", [{"name": "cat", "id": [1]}], r"a whole number as 'id' at entry 1 .* got \[1\]"),
        ("a.json", [{"name": "a", "id": 1}, {"name": "b", "id": 1}], r"got 1 for both 'a' and 'b'"),
        ("a.json", {"cat": 5}, r"a list of aliases for class 'cat' in .*, got int"),
        ("a.yaml", "a: [", r"expected YAML in .*a.yaml"),
        ("a.yaml", "names: {0: cat, 0: dog}", r"line 1: duplicate key '0'; keep one"),
        ("a.yaml", "a: &x [cat]\nb: *x\n", r"expected YAML in .*a.yaml.* line 2: aliases"),
        ("a.yaml", "? [a]\n: b\n", r"line 1: expected a text or a number as key"),
        ("a.yaml", "[" * 3000, r"expected YAML in .*a.yaml, got"),
        (
            "a.json",
            "[" * 100_000,
            r"expected JSON in .*a.json, .* nested more than 100 deep",
        ),
        ("a.json", '{"cat": [], "cat": ["kitty"]}', r"got the key 'cat' twice; keep one"),
        ("a.txt", '["mug", "spoon"]', r"one class name per line in .*, got what looks like JSON"),
        (
            "a.txt",
            "names:\n  0: mug\n",
            r"got what looks like YAML; .* name the file .json or .yaml",
        ),
        ("a.txt", "- mug\n- spoon\n", r"got what looks like YAML"),
        ("a.xml", '<View><Label value="mug"/></View>', r"got what looks like XML"),
        ("a.pbtxt", "item {\n  id: 1\n  name: 'mug'\n}\n", r"got what looks like JSON"),
        ("no/a.txt", None, r"a.txt does not exist; give a built-in name"),
    ],
)
def test_refused_files_say_where_and_why(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(VocabularyError, match=message):
        read_class_file(path)


SIGNS = (
    "limit 30 km/h",
    "limit 50 km/h",
    "mask w/o valve",
    "Truck w/Box",
    "Truck w/Flatbed",
    "N/A",
)


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("a.txt", "\n".join(SIGNS), SIGNS),
        ("a.json", list(SIGNS), SIGNS),
        ("a.yaml", "names:\n" + "".join(f"  - {name}\n" for name in SIGNS), SIGNS),
        ("a.json", {"categories": [{"id": 1, "name": "Paper, glass"}]}, ("Paper, glass",)),
        (
            "a.json",
            ["Paper, glass", "glass", "tape_or_rope"],
            ("Paper, glass", "glass", "tape_or_rope"),
        ),
        ("a.yaml", "Paper, glass:\nglass:\n", ("Paper, glass", "glass")),
    ],
)
def test_a_name_is_whole_whatever_signs_it_has(tmp_path, file, content, names):
    classes = read(tmp_path, file, content)
    assert tuple(item.name for item in classes) == names
    assert [item.aliases for item in classes] == [(fold_name(name),) for name in names]


def test_comma_list_keeps_names_with_a_slash_whole():
    assert [c.aliases for c in parse_class_names("30 km/h,50 km/h")] == [("30 km/h",), ("50 km/h",)]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("names: [0, 1, 2]", {1: "0", 2: "1", 3: "2"}),
        ("names:\n  0: yes\n  1: no\n", {0: "yes", 1: "no"}),
        ("{0: 2024-01-01, 1: 007, 2: null}", {0: "2024-01-01", 1: "007", 2: "null"}),
        ("- on\n- 1_000\n- 2024-13-45\n", {1: "on", 2: "1_000", 3: "2024-13-45"}),
        ("yes: [ja]\nno: ~\n3: drei\n", {1: "yes", 2: "no", 3: "drei"}),
    ],
)
def test_yaml_values_are_texts(tmp_path, content, names):
    classes = read(tmp_path, "a.yaml", content)
    assert {item.category_id: item.name for item in classes} == names


def test_a_comment_begins_with_a_hash_between_blanks(tmp_path):
    text = "# all\ncat # the pet\nC#\nplayer #1\n#hidden\ndog\t#\tkept, puppy\n"
    assert [c.name for c in read(tmp_path, "a.txt", text)] == ["cat", "C#", "player #1", "dog"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0 mug\n1 tea spoon\n", {0: "mug", 1: "tea spoon"}),
        ("1: mug\n2: spoon\n3: fork, tine\n", {1: "mug", 2: "spoon", 3: "fork"}),
        ("id,name\n0,mug\n1,spoon\n", {0: "mug", 1: "spoon"}),
        ("0\n1\n2\n", {1: "0", 2: "1", 3: "2"}),
        ("1 euro\n2 euro\n", {1: "1 euro", 2: "2 euro"}),
        ("30 km/h\n50 km/h\n", {1: "30 km/h", 2: "50 km/h"}),
        ("0 mug\nspoon\n", {1: "0 mug", 2: "spoon"}),
    ],
)
def test_numbers_that_count_the_lines_are_ids(tmp_path, text, names):
    assert {c.category_id: c.name for c in read(tmp_path, "a.txt", text)} == names


def test_half_of_a_surrogate_pair_is_no_name(tmp_path):
    with pytest.raises(VocabularyError, match="half of a letter"):
        read(tmp_path, "a.json", '["x\\ud800"]')


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(VocabularyError, match="it is a pipe, socket or device, no file"):
        read_class_file(tmp_path / "a.txt")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(
        VocabularyError, match=r"expected UTF-8 text .* at 3; save the file as UTF-8"
    ):
        read_class_file(tmp_path / "a.txt")


@pytest.mark.parametrize("keep", [20, -4], ids=["cut early", "cut late"])
def test_a_truncated_compressed_list_is_refused(tmp_path, keep):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'["cat", "dog"]' * 50)[:keep])
    with pytest.raises(VocabularyError, match=r"cannot read .*a.json.gz: Compressed file ended"):
        read_class_file(path)


def test_folder_is_refused(tmp_path):
    with pytest.raises(VocabularyError, match=r"got the directory .*; name the file in it"):
        read_class_file(tmp_path)


def test_a_digit_that_is_no_number_is_a_name(tmp_path):
    classes = read(tmp_path, "a.json", {"²": "square"})
    assert classes[0].aliases == ("²", "square")


def test_comma_list_is_numbered_from_one():
    classes = parse_class_names("cat, traffic light ,dog")
    assert [(c.category_id, c.name) for c in classes] == [
        (1, "cat"),
        (2, "traffic light"),
        (3, "dog"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  ", r"got an empty list"),
        ("cat,,dog", r"expected a class name at place 2"),
        ("cat,dog,Cat", r"'cat' at place 1 \('cat'\) and at place 3 \('Cat'\)"),
    ],
)
def test_refused_comma_lists_name_the_place(text, message):
    with pytest.raises(VocabularyError, match=message):
        parse_class_names(text)


def test_make_class_collapses_spaces():
    assert make_class("  wine \t glass ", category_id=4).name == "wine glass"

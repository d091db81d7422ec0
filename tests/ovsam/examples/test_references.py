import json
import os

import numpy as np
import pytest
from PIL import Image

from ovsam.errors import VocabularyError
from ovsam.examples.references import MOST_PER_CLASS, read_references
from ovsam.masks import encode_mask
from ovsam.text.vocabulary_files import load_vocabulary


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_HOME", str(tmp_path / "home"))


def draw(path, size_wh=(64, 48), colour=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_wh, (colour, colour, colour)).save(path)


def write_refs(folder, annotations, *, categories=("cat", "dog"), images=("a.png", "b.png")):
    for number, name in enumerate(images):
        draw(folder / "images" / name, colour=90 + number)
    content = {
        "images": [
            {"id": number, "file_name": name, "width": 64, "height": 48}
            for number, name in enumerate(images, start=1)
        ],
        "categories": [
            {"id": number, **({"name": one} if isinstance(one, str) else one)}
            for number, one in enumerate(categories, start=1)
        ],
        "annotations": annotations,
    }
    path = folder / "refs.json"
    path.write_text(json.dumps(content))
    return path


def box(number, image, category, bbox=(4, 4, 20, 10), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def test_coco_file_gives_classes_and_their_examples(tmp_path):
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:50] = True
    annotations = [
        box(1, 1, 1),
        box(2, 2, 2, bbox=(0, 0, 1, 1), segmentation=encode_mask(mask)),
        box(3, 2, 2, iscrowd=1),
    ]
    found = read_references(write_refs(tmp_path, annotations))
    assert [item.name for item in found.classes] == ["cat", "dog"]
    assert [file.name for file in found.pictures] == ["a.png", "b.png"]
    assert [item.box_xyxy for item in found.examples] == [(4, 4, 24, 14), (30, 10, 50, 20)]
    assert found.examples[1].mask == encode_mask(mask), "the mask's own box counts"


def test_folder_of_crops_is_one_class_a_folder_and_a_mark_ignores_it(tmp_path):
    crops = tmp_path / "crops"
    draw(crops / "cat" / "1.png")
    draw(crops / "!shadow" / "2.jpg", (30, 20))
    (crops / "cat" / "notes.txt").write_text("no picture")
    found = read_references(crops)
    assert [(item.name, item.rules.ignore) for item in found.classes] == [
        ("shadow", True),
        ("cat", False),
    ]
    assert [item.box_xyxy for item in found.examples] == [(0, 0, 30, 20), (0, 0, 64, 48)]
    assert load_vocabulary(f"examples:{crops}").only_texts() is None, "a name is no text here"


def test_category_with_ignore_competes_and_never_comes_out(tmp_path):
    path = write_refs(
        tmp_path, [box(1, 1, 1), box(2, 2, 2)], categories=("cat", {"name": "dog", "ignore": True})
    )
    assert [item.rules.ignore for item in read_references(path).classes] == [False, True]


def test_all_that_cannot_be_used_is_named_in_one_message(tmp_path):
    annotations = [
        box(1, 1, 1),
        box(2, 1, 1, bbox=(4, 4, 0, 10)),
        box(3, 1, 1, bbox=(70, 4, 10, 10)),
        box(4, 2, 1),
        box(5, 1, 1, segmentation={"size": [9, 9], "counts": [81]}),
        box(6, 7, 1),
        box(7, 1, 9),
        box(8, 3, 1),
        {"id": 9, "image_id": 1, "category_id": 1, "segmentation": []},
    ]
    path = write_refs(tmp_path, annotations, images=("a.png", "b.png", "c.png"))
    (tmp_path / "images" / "b.png").write_bytes(b"no picture")
    (tmp_path / "images" / "c.png").unlink()
    with pytest.raises(VocabularyError) as caught:
        read_references(path)
    text = str(caught.value)
    for part in (
        "annotation 2 in a.png (an empty box of 0 x 10 pixels)",
        "annotation 3 in a.png (the box at 70, 4 lies outside the 64 x 48 image)",
        "image images/b.png (",
        "annotation 5 in a.png (expected a mask of 64 x 48 pixels, got 9 x 9",
        "annotation 6 (the file has no image 7)",
        "annotation 7 (the file has no category 9)",
        "image images/c.png (no such file)",
        "annotation 9 in a.png (it has neither a box of four numbers nor a mask)",
        "class 'dog' (no example)",
    ):
        assert part in text
    assert "annotation 1 " not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [], "categories": []}', "got none of its annotations"),
        ('{"images": [], "categories": [], "annotations": []}', "COCO file without annotations"),
        ("cat, dog", "which is no JSON"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    path = tmp_path / "refs.json"
    path.write_text(content)
    with pytest.raises(VocabularyError, match=message):
        read_references(path)


def test_empty_and_missing_folders_are_refused(tmp_path):
    draw(tmp_path / "flat" / "1.png")
    with pytest.raises(VocabularyError, match="got no folder in it"):
        read_references(tmp_path / "flat")
    with pytest.raises(VocabularyError, match=r"there is no .*nothing"):
        read_references(tmp_path / "nothing")
    (tmp_path / "refs" / "cat").mkdir(parents=True)
    with pytest.raises(VocabularyError, match=r"class 'cat' \(no example\)"):
        read_references(tmp_path / "refs")


def test_digest_follows_content_and_not_times_or_places(tmp_path):
    annotations = [box(1, 1, 1), box(2, 2, 2)]
    path = write_refs(tmp_path / "one", annotations)
    first = read_references(path).digest
    os.utime(tmp_path / "one" / "images" / "a.png", (1, 1))
    assert read_references(path).digest == first
    assert read_references(write_refs(tmp_path / "two", annotations)).digest == first
    annotations[0]["bbox"] = [4, 4, 20, 11]
    assert read_references(write_refs(tmp_path / "two", annotations)).digest != first
    draw(tmp_path / "one" / "images" / "a.png", colour=7)
    assert read_references(path).digest != first


def test_many_examples_of_a_class_are_thinned_evenly(tmp_path):
    annotations = [box(n, 1 + n % 2, 1, bbox=(n % 40, 0, 5, 5)) for n in range(500)]
    found = read_references(write_refs(tmp_path, annotations, categories=("cat",)))
    assert len(found.examples) == MOST_PER_CLASS


def test_names_of_pictures_cannot_leave_their_folder(tmp_path):
    path = write_refs(tmp_path / "refs", [box(1, 1, 1)], categories=("cat",), images=("a.png",))
    draw(tmp_path / "secret.png")
    path.write_text(path.read_text().replace("a.png", "../../secret.png"))
    with pytest.raises(VocabularyError, match="no such file"):
        read_references(path)


def test_vocabulary_of_examples_alone_ends_with_what_is_none_of_them(tmp_path):
    path = write_refs(tmp_path, [box(1, 1, 1), box(2, 2, 2)])
    found = load_vocabulary(f"examples:{path}")
    assert found.names == ("cat", "dog", "(none of the examples)")
    assert found.classes[2].rules.ignore
    assert found.only_texts() is None
    assert found.title == "examples:refs.json"
    assert found.subset(["dog"]).names == ("dog", "(none of the examples)")


def test_names_and_examples_are_mixed(tmp_path):
    path = write_refs(tmp_path, [box(1, 1, 1), box(2, 2, 2)], categories=("Cat", "my part"))
    found = load_vocabulary(f"coco+examples:{path}")
    assert found.num_classes == 81
    cat, part = found.classes[found.index_of("cat")], found.classes[80]
    assert (cat.category_id, cat.split, bool(cat.aliases)) == (17, "novel", True)
    assert (part.name, part.category_id, part.aliases) == ("my part", 91, ())
    assert found.only_texts().num_classes == 80
    assert load_vocabulary("lvis+imagenet21k").references is None
    assert found.content_hash != load_vocabulary("coco").content_hash


def test_several_files_of_examples_are_joined(tmp_path):
    one = write_refs(tmp_path / "1", [box(1, 1, 1)], categories=("cat",), images=("a.png",))
    two = write_refs(
        tmp_path / "2", [box(1, 1, 1), box(2, 1, 2)], categories=("dog", "cat"), images=("a.png",)
    )
    found = load_vocabulary(f"examples:{one}+examples:{two}")
    assert found.names[:2] == ("cat", "dog")
    assert [item.category for item in found.references.examples] == [0, 1, 0]
    write_refs(
        tmp_path / "2",
        [box(1, 1, 1)],
        categories=({"name": "cat", "ignore": True},),
        images=("a.png",),
    )
    with pytest.raises(VocabularyError, match="ignored everywhere or nowhere"):
        load_vocabulary(f"examples:{one}+examples:{two}")
    with pytest.raises(VocabularyError, match="after 'examples:'"):
        load_vocabulary("coco+examples:")

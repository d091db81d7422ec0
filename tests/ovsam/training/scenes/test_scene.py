"""The scene generator: same seed, same pixels; masks exact and visible enough."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ovsam.errors import ConfigError
from ovsam.training.scenes import backgrounds, sprites
from ovsam.training.scenes.files import SceneFile, write_scene_files
from ovsam.training.scenes.scene import SceneSettings, draw_scene
from ovsam.training.scenes.sprites import SpriteAtlas, load_noto_atlas, read_nano_classes


def test_same_seed_gives_the_same_scene(atlas):
    first, second = (draw_scene(atlas, (96, 128), (5, 7)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.id_map, second.id_map)
    assert np.array_equal(first.class_ids, second.class_ids)


def test_another_index_gives_another_scene(atlas):
    first, second = (draw_scene(atlas, (96, 128), (5, index)) for index in (7, 8))
    assert not np.array_equal(first.image, second.image)


@pytest.mark.parametrize("size_hw", [(64, 64), (200, 90), (90, 200)])
def test_every_object_is_visible_and_boxed(atlas, size_hw):
    for index in range(8):
        scene = draw_scene(atlas, size_hw, (9, index))
        assert scene.image.shape == (*size_hw, 3)
        assert len(scene.class_ids) >= 1
        for row, box in enumerate(scene.boxes_xyxy()):
            mask = scene.mask(row)
            ys, xs = np.nonzero(mask)
            assert mask.sum() > 0
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_masks_cover_the_sprites_colour(atlas):
    settings = SceneSettings(min_objects=1, max_objects=1, min_side=0.5, max_side=0.5)
    scene = draw_scene(atlas, (128, 128), (3, 1), settings)
    inside = scene.image[scene.mask(0)].astype(float).mean(axis=0)
    assert int(inside.argmax()) == {0: 0, 1: 2, 2: 1}[int(scene.class_ids[0])]


def test_held_out_texture_is_never_drawn_for_training(monkeypatch):
    drawn = []

    def record(family, size_hw, random):
        drawn.append(family)
        return np.zeros((*size_hw, 3), np.float32)

    monkeypatch.setattr(backgrounds, "_texture", record)
    random = np.random.default_rng(0)
    for _ in range(60):
        backgrounds.draw_background((16, 16), random)
    assert set(drawn) == set(backgrounds.FAMILIES)
    for _ in range(60):
        backgrounds.draw_background((16, 16), random, with_held_out=True)
    assert backgrounds.HELD_OUT in drawn


def test_scene_files_hold_what_their_annotations_say(atlas, tmp_path):
    coco_mask = pytest.importorskip("pycocotools.mask")
    files = [SceneFile("a.png", (96, 64)), SceneFile("b.jpg", (60, 100), is_rotated=True)]
    content = json.loads(write_scene_files(tmp_path, atlas, files, seed=4).read_text())
    for image in content["images"]:
        with Image.open(tmp_path / image["file_name"]) as stored:
            upright = ImageOps.exif_transpose(stored)
        assert upright.size == (image["width"], image["height"])
    truth = draw_scene(atlas, (96, 64), (4, 0))
    rows = [one for one in content["annotations"] if one["image_id"] == 1]
    assert len(rows) == len(truth.class_ids)
    for index, row in enumerate(rows):
        assert np.array_equal(coco_mask.decode(row["segmentation"]), truth.mask(index))
        assert content["categories"][row["category_id"] - 1]["split"] in ("base", "novel")


def test_rotated_file_is_stored_turned(atlas, tmp_path):
    write_scene_files(tmp_path, atlas, [SceneFile("r.jpg", (60, 100), is_rotated=True)], seed=4)
    with Image.open(tmp_path / "r.jpg") as stored:
        assert stored.size == (60, 100)


def test_two_files_of_one_name_are_refused(atlas, tmp_path):
    with pytest.raises(ConfigError, match="different names"):
        write_scene_files(tmp_path, atlas, [SceneFile("a.png", (64, 64))] * 2, seed=4)


def test_class_list_has_unique_names_and_a_fifth_novel():
    classes = read_nano_classes()
    novel = sum(one.split == "novel" for one in classes)
    assert len({one.name for one in classes}) == len(classes) >= 250
    assert 0.15 < novel / len(classes) < 0.25


HOW_TO_GET = "apt-get install fonts-noto-color-emoji; every other system: .*googlefonts.* --font"


def test_missing_font_says_how_to_get_it_on_every_system(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=f"no such file: .*none.ttf; .*{HOW_TO_GET}"):
        load_noto_atlas(tmp_path / "none.ttf")
    monkeypatch.setattr(sprites, "_PLACES", (tmp_path / "a.ttf", Path("~/nowhere/b.ttf")))
    with pytest.raises(ConfigError, match=f"not on this machine; .*{HOW_TO_GET}"):
        load_noto_atlas()


def test_another_file_is_no_font(tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigError, match=f"expected a font .* got .*a.ttf .*{HOW_TO_GET}"):
        load_noto_atlas(tmp_path / "a.ttf")


def test_class_without_a_drawing_is_refused(atlas):
    with pytest.raises(ConfigError, match="at least one sprite"):
        SpriteAtlas(atlas.classes, ((), (), ()))


def test_scenes_never_replace_what_is_in_a_folder(tmp_path, atlas):
    for name in ("annotations.json", "b.png"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(ConfigError, match=f"holds {name} already"):
            write_scene_files(folder, atlas, [SceneFile("b.png", (64, 64))], seed=4)
        assert [path.read_text() for path in folder.iterdir()] == ["mine"]
    with pytest.raises(ConfigError, match="cannot read"):
        write_scene_files(tmp_path / "b.png/b.png", atlas, [SceneFile("b.png", (64, 64))], seed=4)

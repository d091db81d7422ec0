import numpy as np
from pycocotools import mask as coco_mask

from ovsam_pipeline.export.preview import draw_objects


def make_object(box, size, score=0.9, category="cat"):
    left, top, right, bottom = box
    mask = np.zeros(size, np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return {
        "bbox": [left, top, right - left, bottom - top],
        "score": score,
        "category": category,
        "area": int(mask.sum()),
        "segmentation": coco_mask.encode(mask),
    }


def test_masks_tint_their_pixels_and_leave_the_others():
    image = np.full((100, 200, 3), 128, np.uint8)
    picture = draw_objects(image, [make_object((10, 50, 60, 90), (100, 200))])
    assert picture.shape == (320, 640, 3)
    assert (image == 128).all()
    assert (picture[250, 500] == 128).all()
    inside = picture[224, 112].astype(int)
    assert 20 < abs(inside - 128).max() < 100  # translucent: the image shows through


def test_a_small_object_shows_on_a_large_one():
    image = np.full((640, 640, 3), 128, np.uint8)
    large = make_object((50, 50, 600, 600), (640, 640), score=0.9)
    small = make_object((250, 250, 350, 350), (640, 640), score=0.1)
    picture = draw_objects(image, [large, small])
    assert (picture[300, 300] != picture[500, 500]).any()


def test_only_the_best_hundred_objects_are_drawn():
    image = np.full((640, 640, 3), 128, np.uint8)
    best = [make_object((10, 100, 60, 150), (640, 640)) for _ in range(100)]
    worst = make_object((500, 500, 600, 600), (640, 640), score=0.1)
    assert (draw_objects(image, [*best, worst])[550, 550] == 128).all()


def test_images_of_any_shape_become_pictures_of_at_most_1600_pixels():
    for height, width in ((1, 1), (3, 4000), (2000, 2000)):
        picture = draw_objects(np.zeros((height, width, 3), np.uint8), [])
        assert max(picture.shape) in (640, 1600)

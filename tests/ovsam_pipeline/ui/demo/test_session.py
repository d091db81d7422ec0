"""Encoding once, and whose turn it is: with networks that wait for the test."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ovsam.errors import ImageError, PromptError
from ovsam.masks import encode_mask
from ovsam.structures import EncodedImage, ImageFeatures, Prediction
from ovsam_pipeline.ui.demo.prompt import Prompt, read_prompt
from ovsam_pipeline.ui.demo.routes import Hovers
from ovsam_pipeline.ui.demo.scribble import choose_points, find_box
from ovsam_pipeline.ui.demo.session import Session, StaleError

BYTES = 4 * 1000
CLICK = Prompt(points=((5, 5, 1),))


class Networks:
    """A predictor without a vocabulary that notes what it does, and waits while `gate` is shut."""

    def __init__(self):
        self.model = SimpleNamespace(config=SimpleNamespace(input_size=64))
        self.encoded = 0
        self.prompted = []
        self.gate = threading.Event()
        self.gate.set()
        self.has_begun = threading.Event()

    def encode(self, images):
        self.encoded += len(images)
        features = ImageFeatures(torch.zeros(1, 1000), (), torch.zeros(1, 0))
        return [EncodedImage(one.original_size_hw, one.input_size_hw, features) for one in images]

    def segment(self, encoded, prompts, *, masks):
        self.has_begun.set()
        self.gate.wait(10)
        x = float(prompts.points_xy[0, 0, 0])
        self.prompted.append(x)
        mask = np.zeros(encoded.original_size_hw, bool)
        mask[2:6, 3:9] = True
        none, no_labels = np.zeros((1, 0), np.float32), np.zeros(0, np.int64)
        return Prediction(
            boxes_xyxy=np.array([[3, 2, 9, 6]], np.float32),
            labels=no_labels,
            scores=np.zeros(0, np.float32),
            margins=np.zeros(0, np.float32),
            mask_scores=np.array([0.9], np.float32),
            areas=np.array([24]),
            head_logits=none,
            clip_logits=none,
            fused_logits=none,
            low_res_logits=np.zeros((1, 16, 16), np.float32),
            rles=[encode_mask(mask)],
        )


def read(warn):
    return np.zeros((32, 48, 3), np.uint8)


@pytest.fixture
def networks():
    return Networks()


@pytest.fixture
def session(networks):
    return Session(networks, None, cache_bytes=2 * BYTES)


def test_image_is_encoded_once_though_many_ask_at_once(session, networks):
    started = threading.Barrier(8)

    def open_one(_):
        started.wait(10)
        return session.open_image("a", read)

    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(open_one, range(8)))
    assert networks.encoded == 1
    assert all(image is images[0] for image in images)
    assert images[0].num_bytes == BYTES


def test_images_used_last_stay(session, networks):
    for key in ("a", "b", "a", "c"):  # room for two
        session.open_image(key, read)
    assert networks.encoded == 3
    session.open_image("a", read)
    assert networks.encoded == 3
    session.open_image("b", read)
    assert networks.encoded == 4


def test_image_that_cannot_be_read_is_tried_again(session, networks):
    def fail(warn):
        raise ImageError("broken")

    for _ in range(2):
        with pytest.raises(ImageError):
            session.open_image("a", fail)
    assert session.open_image("a", read).size_hw == (32, 48)


def test_warning_of_a_file_is_kept(session):
    def warn_and_read(warn):
        warn("a row is missing")
        return read(warn)

    assert session.open_image("a", warn_and_read).warning == "a row is missing"


def test_model_without_names_gives_a_mask(session):
    found = session.predict(session.open_image("a", read), CLICK)
    assert (found.names, found.object.category, found.object.area) == ((), "", 24)
    assert found.object.bbox == (3, 2, 6, 4)


def test_click_goes_before_previews_and_old_previews_never_begin(session, networks):
    image, hovers = session.open_image("a", read), Hovers()
    networks.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        running = pool.submit(session.predict, image, CLICK)
        assert networks.has_begun.wait(10)
        previews = []
        for x in (10, 11, 12):
            is_wanted = hovers.begin("page", x)
            prompt = Prompt(points=((x, 5, 1),))
            previews.append(pool.submit(session.predict, image, prompt, is_wanted=is_wanted))
        for old in previews[:2]:  # they end although the networks are busy
            with pytest.raises(StaleError):
                old.result(10)
        click = pool.submit(session.predict, image, Prompt(points=((20, 5, 1),)))
        while session._turns._num_urgent == 0:
            pass
        networks.gate.set()
        for one in (running, click, previews[2]):
            one.result(10)
    assert networks.prompted == [5, 20, 12]


def test_hovers_of_pages_do_not_cancel_each_other():
    hovers = Hovers()
    first, other = hovers.begin("1", 7), hovers.begin("2", 1)
    assert first()
    assert other()
    late = hovers.begin("1", 6)  # overtaken on its way
    assert first()
    assert not late()
    hovers.begin("1", 8)
    assert not first()
    # A page that does not say which it is: the last one to come counts.
    unnamed = hovers.begin(None, 9)
    hovers.begin(None, 1)
    assert not unnamed()


def test_scribbles_of_all_forms_are_read():
    size = (100, 200)
    line = [[20, 50], [180, 50]]
    drawn = [
        read_prompt({"scribble": given}, size).draw_scribble(size)
        for given in (line, [line], {"strokes": [line], "width": 4})
    ]
    assert [image.shape for image in drawn] == [size] * 3
    assert drawn[0][50, 100]
    assert drawn[2].sum() < 200 * 6
    half = np.zeros((50, 100), bool)
    half[20:30, 10:90] = True
    prompt = read_prompt({"scribble": dict(encode_mask(half))}, size)
    mask = prompt.draw_scribble(size)
    assert find_box(mask, size).tolist() == [20, 40, 180, 60]
    points = choose_points(mask, size, 3)
    assert len(points) == 3
    assert ((points > (20, 40)) & (points < (180, 60))).all()
    # A tap is a dot, a photo's stroke is drawn at a smaller scale.
    assert read_prompt({"scribble": [[5, 5]]}, size).draw_scribble(size).any()
    large = read_prompt({"scribble": [[[0, 0], [4000, 3000]]]}, (3000, 4000))
    assert large.scribble["size"] == [768, 1024]


def test_scribble_as_large_as_a_photo_is_reduced_and_keeps_thin_strokes():
    size = (3000, 4000)
    thin = np.zeros(size, bool)
    thin[1500, 400:3600] = True
    prompt = read_prompt({"scribble": dict(encode_mask(thin))}, size)
    drawn = prompt.draw_scribble(size)
    assert drawn.shape == (768, 1024)
    left, top, right, bottom = find_box(drawn, size).tolist()
    assert np.abs(np.array([left, top, right, bottom]) - (400, 1500, 3600, 1501)).max() <= 4
    assert np.abs(choose_points(drawn, size, 3)[:, 1] - 1500).max() <= 4


@pytest.mark.parametrize(
    "given",
    [
        {"points": [[float("nan"), 1, 1]]},
        {"points": [[True, 1, 1]]},
        {"points": [[10**400, 1, 1]]},
        {"points": {}, "box": "1,2,3,4"},
        {"box": [1, 2, 3]},
        {"scribble": {"size": [10**6, 10**6], "counts": "0"}},
        {"scribble": {"size": [0, 5], "counts": "0"}},
        {"scribble": {"strokes": [[1, 2]], "width": -1}},
        {"scribble": [[[1, 2, 3]]]},
        {"scribble": [[1, 2], "x"]},
        {"scribble": [[[0, 0]] * 20_001]},
        [],
    ],
)
def test_prompt_that_cannot_be_is_refused(given):
    with pytest.raises(PromptError, match=r"expected|cannot be read"):
        read_prompt(given, (10, 10))

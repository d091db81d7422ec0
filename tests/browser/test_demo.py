"""The demo's page with the embedded model: what a person does, and what comes of it.

One server with `nano` on three example scenes and a photograph; each test opens its own image.
"""

import json
import re
import shutil

import numpy as np
import pytest
from locations import ROOT
from typer.testing import CliRunner

from ovsam.decode import decode_file
from ovsam.masks import decode_mask
from ovsam.predictor import Predictor
from ovsam_pipeline.commands.contents import app

EXAMPLES = ROOT / "examples"
PENGUIN, CLICKED, BOXED, TOUCHED, PHOTO = (
    "scene_0000.jpg",
    "scene_0001.jpg",
    "scene_0002.jpg",
    "scene_0003.jpg",
    "chelsea.png",
)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "demo-labels"


@pytest.fixture(scope="module")
def demo(serve_app, output, tmp_path_factory):
    """A demo on copies of the images: its address, its predictor, its images' folder."""
    from ovsam_pipeline.settings.label import LabelConfig
    from ovsam_pipeline.ui.demo.load import load_demo
    from ovsam_pipeline.ui.demo.routes import build_demo_routes
    from ovsam_pipeline.ui.security import Security
    from ovsam_pipeline.ui.server import build_app

    folder = tmp_path_factory.mktemp("images")
    for name in (PENGUIN, CLICKED, BOXED, TOUCHED):
        shutil.copy(EXAMPLES / "scenes" / name, folder)
    shutil.copy(EXAMPLES / "photos" / PHOTO, folder / f"z_{PHOTO}")
    config = LabelConfig(sources=(str(folder),), model="nano", device="cpu")
    with load_demo(config, output, "tester") as loaded:
        start, routes = build_demo_routes(loaded)
        yield serve_app(build_app(start, routes, Security.create())), loaded, folder


class Hand:
    """A page of the demo, used in pixels of the image."""

    def __init__(self, page, name):
        self.page = page
        page.get_by_test_id("strip-item").filter(has_text=name).click()
        expect(page.get_by_test_id("file-name")).to_have_text(re.compile(re.escape(name)))
        size = page.get_by_test_id("file-size")
        expect(size).not_to_be_empty()
        self.width, self.height = map(int, re.findall(r"\d+", size.inner_text()))

    def __getitem__(self, test_id):
        return self.page.get_by_test_id(test_id)

    def place(self, x, y):
        box = self.page.locator(".demo .picture-frame").bounding_box()
        scale = box["width"] / self.width
        return box["x"] + x * scale, box["y"] + y * scale

    def ask(self, act):
        """Do something that asks for a mask; return the request's prompt and the answer."""

        def is_prompt(response):
            is_predict = response.url.endswith("api/predict")
            return is_predict and not response.request.post_data_json["hover"]

        with self.page.expect_response(is_prompt) as caught:
            act()
        expect(self["current-mask"]).not_to_have_class(re.compile("is-outdated"))
        return caught.value.request.post_data_json, caught.value.json()

    def click(self, x, y, **options):
        return self.ask(lambda: self.page.mouse.click(*self.place(x, y), **options))

    def drag(self, *corners):
        def act():
            self.page.mouse.move(*self.place(*corners[0]))
            self.page.mouse.down()
            for corner in corners[1:]:
                self.page.mouse.move(*self.place(*corner), steps=3)
            self.page.mouse.up()

        return self.ask(act)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)


def expect(locator):
    from playwright.sync_api import expect

    return expect(locator)


def find_objects(name):
    """Boxes (left, top, right, bottom) of a scene's objects by their true names."""
    truth = json.loads((EXAMPLES / "scenes" / "annotations.json").read_text())
    names = {item["id"]: item["name"] for item in truth["categories"]}
    image = next(item["id"] for item in truth["images"] if item["file_name"] == name)
    found = {}
    for item in truth["annotations"]:
        if item["image_id"] == image:
            left, top, width, height = item["bbox"]
            found[names[item["category_id"]]] = left, top, left + width, top + height
    return found


def draw(answer):
    return decode_mask(answer["segmentation"], *answer["segmentation"]["size"])


def test_a_click_gives_mask_and_name_of_the_python_api(demo, open_page, shoot, is_accessible):
    address, loaded, folder = demo
    page = open_page(address)
    assert is_accessible(page)
    hand = Hand(page, PENGUIN)
    left, top, right, bottom = find_objects(PENGUIN)["penguin"]
    asked, answer = hand.click((left + right) / 2, (top + bottom) / 2)
    session = loaded.session
    predictor = Predictor(session.predictor.model, session.vocabulary)
    predictor.set_image(decode_file(folder / PENGUIN))
    (x, y, _) = asked["points"][0]
    expected = predictor.predict(points_xy=[[(x, y)]], point_labels=[[1]])
    assert np.array_equal(draw(answer), expected.masks[0])
    expect(hand["current-name"]).to_have_text("penguin")
    expect(hand["name"]).to_have_count(6)
    expect(hand["latency"]).to_have_text(re.compile(r"prompt to mask \d+ ms, of it the model \d+"))
    shoot(page, "demo-click")


def test_a_click_on_a_photograph_gives_the_mask_of_the_python_api(demo, open_page, shoot):
    address, loaded, folder = demo
    hand = Hand(open_page(address, scheme="dark"), PHOTO)
    asked, answer = hand.click(200, 150)
    predictor = Predictor(loaded.session.predictor.model)
    predictor.set_image(decode_file(folder / f"z_{PHOTO}"))
    (x, y, _) = asked["points"][0]
    expected = predictor.predict(points_xy=[[(x, y)]], point_labels=[[1]])
    assert np.array_equal(draw(answer), expected.masks[0])
    shoot(hand.page, "demo-photo-dark")


def test_boxes_negative_clicks_and_scribbles_make_prompts_that_undo_takes_back(demo, open_page):
    hand = Hand(open_page(demo[0]), BOXED)
    left, top, right, bottom = next(iter(find_objects(BOXED).values()))
    asked, boxed = hand.drag((left, top), (right, bottom))
    assert asked["box"] == pytest.approx([left, top, right, bottom], abs=1)
    asked, _ = hand.click(left + 3, top + 3, button="right")
    assert [point[2] for point in asked["points"]] == [0]
    asked, again = hand.ask(lambda: hand.press("Control+z"))
    assert (asked["points"], draw(again).tolist()) == ([], draw(boxed).tolist())

    hand.press("Escape", "s")
    middle = (left + right) / 2, (top + bottom) / 2
    asked, _ = hand.drag(middle, (middle[0] + 30, middle[1] + 20), (middle[0], middle[1] + 30))
    painted = decode_mask(asked["scribble"], *asked["scribble"]["size"])
    scale = painted.shape[1] / hand.width
    assert painted[round(middle[1] * scale), round(middle[0] * scale)]
    assert 0 < painted.mean() < 0.1
    hand.press("Control+z")
    expect(hand["current-mask"].locator("path")).to_have_count(0)
    asked, _ = hand.ask(lambda: hand.press("Control+z"))  # the Escape before
    assert asked["box"] is not None
    asked, _ = hand.ask(lambda: hand.press("Control+Shift+z", "Control+Shift+z"))
    assert asked["scribble"] is not None


def test_hovering_shows_what_a_click_would_give(demo, open_page):
    hand = Hand(open_page(demo[0]), PENGUIN)
    left, top, right, bottom = find_objects(PENGUIN)["penguin"]
    hand.page.mouse.move(*hand.place((left + right) / 2, (top + bottom) / 2))
    expect(hand["hover-name"]).to_have_text(re.compile("penguin"))
    expect(hand["hover-mask"].locator("path")).to_have_count(2)
    hand["preview"].uncheck()
    hand.page.mouse.move(*hand.place((left + right) / 2 + 2, (top + bottom) / 2))
    expect(hand["hover-mask"].locator("path")).to_have_count(0)


def test_names_come_from_the_vocabulary_and_from_examples(demo, open_page):
    hand = Hand(open_page(demo[0], allowed=("400",)), PENGUIN)
    left, top, right, bottom = find_objects(PENGUIN)["penguin"]
    hand.drag((left, top), (right, bottom))
    hand["vocabulary"].fill("cow, trophy\ndog")
    hand.ask(lambda: hand["apply-vocabulary"].click())
    expect(hand["name"]).to_have_count(3)
    hand["example-name"].fill("widget")
    hand.ask(lambda: hand["add-example"].click())
    expect(hand["examples"]).to_contain_text("widget")
    expect(hand["current-name"]).to_have_text("widget")
    hand.ask(lambda: hand["examples"].get_by_role("button").click())
    expect(hand["current-name"]).not_to_have_text("widget")
    hand["vocabulary"].fill("cow, cow,")
    hand["apply-vocabulary"].click()
    expect(hand["vocabulary-status"]).to_have_class(re.compile("is-error"))
    hand["vocabulary"].fill("nano")
    hand.ask(lambda: hand["apply-vocabulary"].click())
    expect(hand["current-name"]).to_have_text("penguin")


def test_what_is_accepted_can_be_undone_renamed_and_exported(
    demo, open_page, output, tmp_path, shoot
):
    hand = Hand(open_page(demo[0]), CLICKED)
    boxes = list(find_objects(CLICKED).values())[:2]
    for left, top, right, bottom in boxes:
        _, answer = hand.drag((left, top), (right, bottom))
        hand.press("Enter")
        expect(hand["current-mask"].locator("path")).to_have_count(0)
    rows = hand["accepted-object"]
    expect(rows).to_have_count(2)
    hand.press("Control+z")
    expect(rows).to_have_count(1)
    hand["rename"].fill("umbr")
    expect(hand.page.locator("#names option").first).to_have_attribute("value", "umbrella")
    hand["rename"].fill("<b>thing</b>")
    hand["rename"].press("Enter")
    hand.press("Enter")
    expect(rows.nth(1)).to_contain_text("<b>thing</b>")
    rows.nth(1).get_by_role("button").first.click()
    hand["rename-accepted"].fill("gadget")
    hand["rename-accepted"].press("Enter")
    expect(rows.nth(1)).to_contain_text("gadget")
    shoot(hand.page, "demo-accepted")
    hand["write"].click()
    expect(hand["toast-status"]).to_contain_text("annotations.json")
    assert hand["export"].inner_text() == f"ovsam export {output} --format yolo"
    target = tmp_path / "coco.json"
    assert CliRunner().invoke(app, ["export", str(output), "--to", str(target)]).exit_code == 0
    exported = json.loads(target.read_text())
    names = {item["id"]: item["name"] for item in exported["categories"]}
    found = [item for item in exported["annotations"] if names[item["category_id"]] == "gadget"]
    assert [decode_mask(i["segmentation"], hand.height, hand.width).tolist() for i in found] == [
        draw(answer).tolist()
    ]


def test_points_are_placed_by_keyboard_alone(demo, open_page):
    hand = Hand(open_page(demo[0]), PENGUIN)
    hand["stage"].focus()
    hand.press(*["ArrowRight"] * 14, *["ArrowDown"] * 6)
    asked, _ = hand.ask(lambda: hand.press("Enter"))
    assert asked["points"] == [[pytest.approx(488, abs=4), pytest.approx(392, abs=4), 1]]
    hand.press("ArrowLeft")
    asked, _ = hand.ask(lambda: hand.press("Space"))
    assert len(asked["points"]) == 2
    hand.press("Escape", "Escape")
    expect(hand["crosshair"]).to_have_count(0)
    expect(hand["current-mask"].locator("path")).to_have_count(0)


def test_an_object_that_nobody_named_waits_for_a_name(demo, open_page):
    """A SAM gives masks alone."""
    hand = Hand(open_page(demo[0]), TOUCHED)

    def forget_names(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "names": []})

    hand.page.route("**/api/predict", forget_names)
    hand.click(hand.width / 2, hand.height / 2)
    expect(hand["current-name"]).to_have_text("without a name")
    hand.press("Enter")
    expect(hand["rename"]).to_be_focused()
    hand.page.keyboard.type("thing")
    hand.press("Enter")
    expect(hand["current-name"]).to_have_text("thing")


def test_answers_that_come_late_change_nothing(demo, open_page):
    hand = Hand(open_page(demo[0], allowed=("ERR_FAILED", "net::")), PENGUIN)
    held = []
    hand.page.route("**/api/predict", lambda route: held.append(route))
    hand.page.mouse.click(*hand.place(100, 100))
    hand.page.mouse.click(*hand.place(120, 120))
    expect(hand["spinner"]).to_be_visible()
    hand.press("Escape")
    expect(hand["spinner"]).to_be_hidden()
    for route in held:
        route.abort()
    hand.page.unroute("**/api/predict")
    expect(hand["current-mask"].locator("path")).to_have_count(0)
    hand.click(497, 395)
    expect(hand["current-name"]).to_have_text("penguin")


def test_a_server_that_is_gone_is_told_and_asked_again(demo, open_page):
    hand = Hand(open_page(demo[0], allowed=("ERR_CONNECTION_REFUSED", "ERR_FAILED")), PENGUIN)
    hand.page.route("**/api/*", lambda route: route.abort("connectionrefused"))
    hand.page.mouse.click(*hand.place(497, 395))
    expect(hand["banner"]).to_contain_text("does not answer")
    hand.page.unroute("**/api/*")
    expect(hand["banner"]).to_be_hidden()
    expect(hand["current-name"]).to_have_text("penguin")


def test_files_that_are_dropped_open_or_say_why_not(demo, open_page, tmp_path):
    page = open_page(demo[0], allowed=("400",))
    Hand(page, PENGUIN)
    name = "<img src=x onerror=alert(1)>.png"
    shutil.copy(EXAMPLES / "photos" / PHOTO, tmp_path / name)
    (tmp_path / "notes.jpg").write_text("no picture")
    page.get_by_test_id("files").set_input_files([tmp_path / name])
    expect(page.get_by_test_id("file-size")).to_have_text(re.compile("451 . 300"))
    count = page.get_by_test_id("strip-item").count()
    page.get_by_test_id("files").set_input_files([tmp_path / name, tmp_path / "notes.jpg"])
    expect(page.get_by_test_id("toast-error")).to_be_visible()
    expect(page.get_by_test_id("strip-item")).to_have_count(count)


def test_a_phone_has_panels_below_the_image_and_takes_touches(demo, open_page, shoot):
    page = open_page(demo[0], width=390, height=844, has_touch=True, is_mobile=True)
    hand = Hand(page, TOUCHED)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    stage = page.get_by_test_id("stage").bounding_box()
    assert page.locator(".demo-panel").first.bounding_box()["y"] > stage["y"] + stage["height"]
    left, top, right, bottom = next(iter(find_objects(TOUCHED).values()))
    middle = hand.place((left + right) / 2, (top + bottom) / 2)
    asked, _ = hand.ask(lambda: page.touchscreen.tap(*middle))
    assert asked["points"][0][:2] == pytest.approx([(left + right) / 2, (top + bottom) / 2], abs=2)
    page.locator(".quick").get_by_text("Accept").tap()
    expect(hand["accepted-object"]).to_have_count(1)
    shoot(page, "demo-390", full_page=True)

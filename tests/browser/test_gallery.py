"""The gallery in a browser: what is shown, in which order, and what answers do."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from pictures_output import write_pictures_output
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ovsam_pipeline.output.parts import BOX_SCHEMA, write_part
from ovsam_pipeline.output.reviews import read_answers
from ovsam_pipeline.records import BoxRecord, ImageRecord, LabelRecord
from ovsam_pipeline.ui.gallery.answers import Reviewer
from ovsam_pipeline.ui.gallery.compare import Comparison
from ovsam_pipeline.ui.gallery.index import Columns, encode_index
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.gallery.routes import build_gallery_routes
from ovsam_pipeline.ui.security import Security
from ovsam_pipeline.ui.server import build_app

# Picture i has two objects with the risks 1/(i+3) and 2/(i+3).
NAMES = [f"day {i % 3}/photo {i:02}.png" for i in range(24)]
FAILED, GONE = 5, 7
MANY = 1_000_000


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """An output with a failed image, and one whose picture is gone."""
    out = write_pictures_output(tmp_path_factory.mktemp("gallery"), NAMES, failed=(FAILED,))
    (out.parent / "images" / NAMES[GONE]).unlink()
    return out


@pytest.fixture(scope="module")
def address(labels, serve_app):
    """A gallery in which nothing can be answered."""
    return serve_app(build_gallery(labels))


@pytest.fixture
def own(tmp_path, serve_app):
    """An output for this test alone and the address of its gallery, in which one can answer."""
    out = write_pictures_output(tmp_path, NAMES[:4])
    return out, serve_app(build_gallery(out, by="ann"))


def build_gallery(output, by=None, other=None):
    opened = OpenedOutput(output)
    reviewer = Reviewer(opened, by) if by else None
    comparison = Comparison(opened, OpenedOutput(other)) if other else None
    start, routes = build_gallery_routes(opened, reviewer, comparison)
    return build_app(start, routes, Security.create())


def see(page, testid):
    return page.get_by_test_id(testid)


def list_names(page):
    """The names on the cards, in their order."""
    see(page, "card").nth(4).locator(".card-name", has_text="photo").wait_for()
    return [text.strip() for text in see(page, "card").locator(".card-name").all_inner_texts()]


def wait_for_counts(page, text):
    see(page, "counts").filter(has_text=text).wait_for()


def test_riskiest_images_come_first_with_their_masks(address, open_page, shoot, is_accessible):
    page = open_page(address, allowed=("404",))
    assert list_names(page)[:3] == ["photo 00.png", "photo 01.png", "photo 02.png"]
    assert see(page, "counts").inner_text() == "24 of 24 images, 46 objects"
    first = see(page, "card").first
    assert first.locator("path.mask").count() == 2
    assert "risk 0.67" in first.inner_text()
    shoot(page, "gallery-images")
    assert is_accessible(page)


def test_a_failed_image_and_a_gone_picture_say_so(address, open_page):
    page = open_page(address, allowed=("404",))
    see(page, "card-gone").filter(has_text="cannot be read any more").wait_for()
    see(page, "card").filter(has_text=f"photo {GONE:02}").click()
    see(page, "stage-problem").filter(has_text="the picture is gone").wait_for()
    page.keyboard.press("Escape")
    see(page, "filter-status").select_option("failed")
    wait_for_counts(page, "1 of 24 images, 0 objects")
    see(page, "card-error").filter(has_text=f"cannot decode it ({NAMES[FAILED]})").wait_for()
    see(page, "card").click()
    assert see(page, "stage-problem").inner_text() == f"cannot decode it ({NAMES[FAILED]})"


def test_filters_are_in_the_address(address, open_page):
    page = open_page(address, allowed=("404",))
    see(page, "class-row").filter(has_text="dog").locator("input").check()
    wait_for_counts(page, "16 of 24 images, 16 objects")
    see(page, "risk-lowest").fill("0.2")
    wait_for_counts(page, "4 of 24 images, 4 objects")
    see(page, "mode-objects").click()
    see(page, "sort").select_option("name")
    page.wait_for_url("**mode=objects&sort=name&class=dog&risk=0.2-1")
    page.reload()
    wait_for_counts(page, "4 of 24 images, 4 objects")
    assert see(page, "card").count() == 4
    assert see(page, "class-row").locator("input:checked").count() == 1
    assert see(page, "mode-objects").get_attribute("aria-pressed") == "true"
    see(page, "clear").click()
    wait_for_counts(page, "24 of 24 images, 46 objects")


def test_sorts_and_finds_names(address, open_page):
    page = open_page(address, allowed=("404",))
    see(page, "sort").select_option("name")
    see(page, "card").nth(1).filter(has_text="photo 03").wait_for()  # day 0/ before day 1/
    see(page, "direction").click()
    see(page, "card").first.filter(has_text="photo 23").wait_for()
    see(page, "filter-name").fill("DAY 1/")
    wait_for_counts(page, "8 of 24 images")
    see(page, "filter-name").fill("nowhere")
    page.get_by_text("Nothing fits all filters.").wait_for()


def test_answers_reach_the_file(own, open_page, shoot):
    out, address = own
    page = open_page(address)
    see(page, "card").first.click()
    current = page.locator(".object-row[aria-current]")
    current.filter(has_text="dog").wait_for()  # risk 2/3, of picture 0
    page.keyboard.press("a")
    current.filter(has_text="cat").wait_for()
    page.keyboard.press("r")
    see(page, "rename-field").fill("hippo")
    page.keyboard.press("Enter")
    see(page, "large-position").filter(has_text="2 of 4 images").wait_for()
    page.keyboard.press("x")
    see(page, "session").filter(has_text="3 answers this session").wait_for()
    assert see(page, "object-row").count() == 1
    shoot(page, "gallery-large")
    answers = list(read_answers(out))
    assert [(a.file_name, a.verdict, a.category) for a in answers] == [
        (NAMES[0], "accepted", "dog"),
        (NAMES[0], "renamed", "hippo"),
        (NAMES[1], "rejected", None),
    ]
    assert {a.by for a in answers} == {"ann"}
    page.keyboard.press("Escape")
    wait_for_counts(page, "4 of 4 images, 7 objects")
    see(page, "filter-review").select_option("renamed")
    wait_for_counts(page, "1 of 4 images, 1 object")


def test_answers_are_taken_back(own, open_page, shoot, is_accessible):
    out, address = own
    page = open_page(address)
    see(page, "card").first.click()
    current = page.locator(".object-row[aria-current]")
    current.filter(has_text="dog").wait_for()
    assert see(page, "undo").is_disabled()
    page.keyboard.press("x")
    current.filter(has_text="cat").wait_for()
    page.keyboard.press("a")
    see(page, "large-position").filter(has_text="2 of 4 images").wait_for()
    for _ in range(3):  # a key that is held down takes back one answer
        page.keyboard.down("z")
    page.keyboard.up("z")
    see(page, "large-position").filter(has_text="1 of 4 images").wait_for()
    current.filter(has_text="cat").wait_for()
    see(page, "session").filter(
        has_text="1 answer this session: took back: accepted cat"
    ).wait_for()
    see(page, "rejected-row").filter(has_text="dog").filter(has_text="rejected by ann").wait_for()
    assert page.locator(".stage .object.is-rejected path.mask").count() == 1
    shoot(page, "gallery-rejected")
    undo = see(page, "undo").bounding_box()
    assert undo["x"] + undo["width"] <= page.viewport_size["width"]
    assert is_accessible(page, tab=False)
    see(page, "undo").click()
    current.filter(has_text="dog").wait_for()
    see(page, "rejected-row").wait_for(state="detached")
    see(page, "session").filter(
        has_text="0 answers this session: took back: rejected dog"
    ).wait_for()
    assert see(page, "undo").is_disabled()
    page.keyboard.press("z")
    see(page, "toast-status").filter(has_text="No answer of this session").wait_for()
    answers = read_answers(out)
    assert (list(answers), answers.lines, answers.withdrawn) == ([], 2, 2)
    page.keyboard.press("x")
    see(page, "rejected-row").wait_for()
    page.reload()  # another session: what was rejected is not in its index
    see(page, "restore").click()
    current.filter(has_text="dog").wait_for()
    assert see(page, "object-row").count() == 2
    assert read_answers(out).withdrawn == 3
    page.keyboard.press("Escape")
    page.reload()
    wait_for_counts(page, "4 of 4 images, 8 objects")


def test_a_card_that_was_rejected_comes_back(own, open_page):
    out, address = own
    page = open_page(address + "#mode=objects")
    page.locator(".card .crop").first.wait_for()
    see(page, "card").first.focus()
    page.keyboard.press("x")
    see(page, "card").first.filter(has_text="Rejected").wait_for()
    wait_for_counts(page, "4 of 4 images, 7 objects")
    see(page, "toast-action").click()
    see(page, "card").first.locator(".crop").wait_for()
    see(page, "toast-status").filter(has_text="Took back: rejected dog").wait_for()
    wait_for_counts(page, "4 of 4 images, 8 objects")
    page.locator("[data-position='0']:focus").wait_for()
    assert not read_answers(out)


def test_a_conflict_is_told_and_the_labels_of_now_are_shown(own, open_page):
    out, address = own
    page, other = open_page(address, allowed=("409",)), open_page(address)
    for one in (page, other):
        see(one, "card").first.click()
        see(one, "opinions").wait_for()
    other.keyboard.press("x")
    see(other, "session").filter(has_text="1 answer").wait_for()
    # In one go: the second and third are not for what the conflict brings.
    page.evaluate(
        "for (let i = 0; i < 3; i++) document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'a', bubbles: true, cancelable: true}))"
    )
    see(page, "toast-error").filter(has_text="not as it was shown").wait_for()
    see(page, "object-row").nth(1).wait_for(state="detached")
    assert see(page, "object-row").count() == 1
    page.wait_for_timeout(300)
    assert len(list(read_answers(out))) == 1


def test_the_server_gone_is_told_and_nothing_is_lost(own, open_page):
    _, address = own
    page = open_page(address, allowed=("Failed to load",))
    see(page, "card").first.click()
    see(page, "opinions").wait_for()
    page.context.set_offline(True)
    page.keyboard.press("r")
    see(page, "rename-field").fill("hippo")
    page.keyboard.press("Enter")
    see(page, "toast-error").filter(has_text="does not answer").wait_for()
    page.context.set_offline(False)
    assert see(page, "rename-field").input_value() == "hippo"
    page.keyboard.press("Enter")
    see(page, "session").filter(has_text="1 answer").wait_for()


def test_objects_are_answered_card_by_card(own, open_page, shoot):
    out, address = own
    page = open_page(address + "#mode=objects")
    page.locator(".card .crop").first.wait_for()
    see(page, "card").first.focus()
    page.keyboard.press("a")
    see(page, "card").first.filter(has_text="accepted").wait_for()
    page.keyboard.press("x")
    see(page, "card").nth(1).filter(has_text="Rejected").wait_for()
    wait_for_counts(page, "4 of 4 images, 7 objects")
    shoot(page, "gallery-objects")
    assert page.evaluate("document.activeElement.dataset.position") == "2"
    assert [a.verdict for a in read_answers(out)] == ["accepted", "rejected"]


def test_the_keyboard_opens_moves_and_comes_back(address, open_page, is_accessible):
    page = open_page(address, allowed=("404",))
    see(page, "card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    see(page, "large-position").filter(has_text="2 of 24 images").wait_for()
    assert is_accessible(page, tab=False)
    page.keyboard.press("j")
    page.wait_for_url("**#open=1.0")
    page.keyboard.press("n")
    see(page, "large-position").filter(has_text="3 of 24 images").wait_for()
    page.keyboard.press("m")
    assert not see(page, "toggle-masks").is_checked()
    page.keyboard.press("a")  # nothing can be answered here
    page.keyboard.press("?")
    see(page, "keys").wait_for()
    assert "accept" not in see(page, "keys").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    see(page, "large").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.dataset.position") == "2"


def test_controls_keep_their_keys(address, open_page):
    page = open_page(address, allowed=("404",))
    see(page, "risk-lowest").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**#risk=0.01-1")
    see(page, "mode-objects").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**#mode=objects**")
    see(page, "class-row").first.locator("input").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    see(page, "class-row").nth(1).locator("input:checked").wait_for()
    page.keyboard.press("g")
    page.locator("[data-position='0']:focus").wait_for()


def test_two_runs_side_by_side(tmp_path, serve_app, open_page, shoot):
    out = write_pictures_output(tmp_path / "one", NAMES[:3])
    other = write_pictures_output(tmp_path / "two", NAMES[:3], categories=("cat", "dog", "cow"))
    page = open_page(serve_app(build_gallery(out, other=other)))
    see(page, "card").last.filter(has_text="photo 00.png").wait_for()  # the one without a cup
    see(page, "filter-difference").select_option("different")
    wait_for_counts(page, "2 of 3 images")
    see(page, "card").first.click()
    see(page, "other-row").filter(has_text="cow").wait_for()
    assert see(page, "stage").count() == 2
    assert page.locator(".stage .object.differs").count() == 2
    before, same = (see(page, "overlay").nth(i).get_attribute("viewBox") for i in range(2))
    page.keyboard.press("+")
    after, same_after = (see(page, "overlay").nth(i).get_attribute("viewBox") for i in range(2))
    assert before == same
    assert after == same_after != before
    shoot(page, "gallery-compare")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(own, open_page, shoot, is_accessible, scheme):
    _, address = own
    page = open_page(address, width=390, height=844, scheme=scheme)
    page.locator(".card .mask").first.wait_for()
    assert is_accessible(page)
    shoot(page, f"gallery-390-{scheme}")
    see(page, "filters-toggle").click()
    see(page, "class-row").first.locator("input").check()
    see(page, "clear").click()
    see(page, "filters-toggle").click()
    see(page, "card").nth(1).click()
    see(page, "opinions").wait_for()
    shoot(page, f"gallery-390-{scheme}-large")
    assert is_accessible(page, tab=False)
    see(page, "accept").click()
    see(page, "session").filter(has_text="1 answer").wait_for()


def make_columns(num_images, size=0, **values):
    """Columns of images that failed, or of others by `values`."""
    none = np.zeros(size, np.float32)
    plain = {
        "status": np.full(num_images, 2, np.uint8),
        "error": np.zeros(num_images, np.uint32),
        "width": np.zeros(num_images, np.int32),
        "height": np.zeros(num_images, np.int32),
        "num_objects": np.zeros(num_images, np.uint32),
        "category": none.astype(np.uint32),
        **dict.fromkeys(("score", "risk", "margin"), none),
        **dict.fromkeys(("flags", "verdict"), none.astype(np.uint8)),
    }
    return Columns(**plain | values)


def build_columns_gallery(columns, categories=(), seconds=0.0):
    """A gallery of columns alone: whatever they say, the page gets rows of failed images."""
    num_images, num_objects = len(columns.status), len(columns.category)
    start = {
        "kind": "gallery", "output": "out", "categories": categories, "images": num_images,
        "objects": num_objects, "is_boxes": False, "can_answer": False, "compare": None,
    }  # fmt: skip

    def send_index(request):
        return Response(encode_index(columns, ["file is empty"]))

    async def send_images(request):
        await asyncio.sleep(seconds)
        rows = [int(row) for row in request.query_params["rows"].split(",")]
        assert len(rows) <= 50
        failed = {"width": None, "height": None, "status": "failed", "error": "file is empty"}
        more = {"warning": None, "objects": [], **failed}
        return JSONResponse([{"row": row, "file_name": f"photo {row}", **more} for row in rows])

    routes = [Route("/api/index", send_index), Route("/api/images", send_images)]
    return build_app(start, routes, Security.create())


def test_filters_and_orders_are_those_of_numpy(serve_app, open_page):
    random = np.random.default_rng(7)
    counts = random.integers(0, 5, 3000).astype(np.uint32)
    size = int(counts.sum())
    known = np.append(np.arange(0.005, 1, 0.01), np.nan)  # between the steps of the sliders
    score, risk = (random.choice(known, size).astype(np.float32) for _ in range(2))
    category = random.integers(0, 3, size).astype(np.uint32)
    flags = random.integers(0, 4, size).astype(np.uint8)
    owner = np.repeat(np.arange(3000), counts)
    columns = make_columns(
        3000, size, num_objects=counts, score=score, risk=risk, category=category, flags=flags
    )
    categories = [{"id": k, "name": f"c {k}", "colour": "#102030"} for k in range(3)]
    address = serve_app(build_columns_gallery(columns, categories))
    chosen = {
        "class=c 1&class=c 2&risk=0.3-0.8": (category > 0) & (risk >= 0.3) & (risk <= 0.8),
        "score=0-0.5&review=unseen": (score <= 0.5) & (flags & 1 == 0),
        "disagreement=1&risk=0.5-1&review=seen": (flags == 3) & (risk >= 0.5),
    }
    for hash_, passes in chosen.items():
        page = open_page(f"{address}#{hash_}")
        images = len(np.unique(owner[passes]))
        wait_for_counts(page, f"{images:,} of 3,000 images, {passes.sum():,} objects")
        order = np.argsort(-np.where(np.isnan(risk), -1, risk), kind="stable")
        first = dict.fromkeys(owner[order][passes[order]].tolist())
        assert list_names(page)[:5] == [f"photo {row}" for row in list(first)[:5]]


def test_a_million_images_scroll_to_the_end_and_what_passed_by_is_cancelled(serve_app, open_page):
    address = serve_app(build_columns_gallery(make_columns(MANY), seconds=0.3))
    page = open_page(address)
    given_up = []
    page.on("requestfailed", lambda request: given_up.append(request.failure))
    see(page, "card").first.filter(has_text="photo 0").wait_for()
    for part in (0.2, 0.4, 0.6):
        page.evaluate(f"scrollTo(0, {part} * document.documentElement.scrollHeight)")
        page.wait_for_timeout(150)
    assert "net::ERR_ABORTED" in given_up
    assert see(page, "card").count() < 80
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    see(page, "card").last.filter(has_text=f"photo {MANY - 1}").wait_for()
    place = see(page, "card").last.bounding_box()
    assert 0 < place["y"] < place["y"] + place["height"] <= 800
    see(page, "card").last.focus()
    page.keyboard.press("Home")
    see(page, "card").first.filter(has_text="photo 0").wait_for()
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") > 0


def test_boxes_have_no_verdicts(tmp_path, serve_app, open_page):
    out = tmp_path / "boxes"
    (out / "parts").mkdir(parents=True)
    box = BoxRecord((4.0, 5.0, 20.0, 10.0), 0.5, "cat", 7)
    row = LabelRecord.labelled(ImageRecord(1, "a.png", Path("a.png")), 60, 40, (box,))
    write_part(out / "parts", [row], "fingerprint", BOX_SCHEMA)
    categories = [{"id": 7, "name": "cat"}]
    run = {"ovsam": "1.0", "task": "detect", "categories": categories}
    (out / "run.json").write_text(json.dumps(run))
    page = open_page(serve_app(build_gallery(out)), allowed=("404",))
    see(page, "card").first.locator("rect.mask").wait_for()
    assert see(page, "sort").input_value() == "score"
    assert "Risk" not in see(page, "sort").inner_text()
    see(page, "card").first.click()
    see(page, "opinions").filter(has_text="0.50").wait_for()
    page.keyboard.press("a")
    assert page.get_by_role("button", name="Accept").count() == 0

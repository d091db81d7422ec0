import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scored_folder import make_scores

from ovsam.errors import ConfigError
from ovsam_pipeline.ui.report import write_results_report
from ovsam_pipeline.ui.report_page import DataElement, Section, write_page
from ovsam_pipeline.ui.results import embed
from ovsam_pipeline.ui.results.data import read_results

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e\n<!--"


def read_element(page, name):
    return re.search(f'<script type="[a-z/]+" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def write_example(path, sections=()):
    return write_page(path, "a <b> report", sections, {"kind": "results"}, ())


def test_the_policy_allows_the_pages_own_style_and_bundle_alone(tmp_path) -> None:
    size = write_example(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_bytes()
    assert len(page) == size
    policy = re.search(rb'Content-Security-Policy" content="(.*?)"', page)[1].decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in (b"style", b"script"):
        (text,) = re.findall(b"<" + tag + b">(.*?)</" + tag + b">", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        assert f"{tag.decode()}-src 'sha256-{digest}'" in policy
    assert b"a &lt;b&gt; report" in page


def test_sections_are_text_and_their_tables_whole(tmp_path) -> None:
    section = Section(HOSTILE, ["one\udcff", "  a  1", "  b  2", "two"], ["x"], [[HOSTILE]])
    write_example(tmp_path / "r.html", [section])
    page = (tmp_path / "r.html").read_text()
    assert page.count("&lt;/script&gt;&lt;img src=x") == 4  # heading, names of both tables, cell
    assert "<img" not in page
    assert "<p>one?</p>" in page
    assert ">  a  1\n  b  2</pre>" in page


def test_only_a_report_of_ours_is_replaced(tmp_path) -> None:
    path = tmp_path / "r.html"
    write_example(path)
    write_example(path)
    path.write_text("<!doctype html>\nmy own page")
    with pytest.raises(ConfigError, match="no report of ovsam, so it is not replaced"):
        write_example(path)
    with pytest.raises(ConfigError, match="expected a file to write, got the folder"):
        write_example(tmp_path)


def test_a_page_that_fails_leaves_the_one_of_before(tmp_path) -> None:
    write_example(tmp_path / "r.html")
    before = (tmp_path / "r.html").read_bytes()

    def fail():
        yield "["
        raise ConfigError("gone")

    with pytest.raises(ConfigError, match="gone"):
        write_page(tmp_path / "r.html", "", (), {}, [DataElement("x", "text/plain", fail())])
    assert (tmp_path / "r.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_report_on_a_store(s3) -> None:
    from ovsam_pipeline.storage.remote_path import parse_path

    path = parse_path(f"{s3.uri}/reports/r.html")
    write_example(path)
    write_example(path)
    assert s3.list_keys() == ["reports/r.html"]
    s3.put("reports/other.html", b"of somebody")
    with pytest.raises(ConfigError, match="not replaced"):
        write_example(parse_path(f"{s3.uri}/reports/other.html"))


def test_results_hold_their_pictures_and_hostile_names_stay_text(tmp_path) -> None:
    def rename(truth, predictions):
        truth = replace(truth, file_names=(HOSTILE, "20.png"))
        return truth, replace(predictions, labels=np.array([HOSTILE] * 3, object))

    results = read_results(make_scores(tmp_path / "scores", rename))
    write_results_report(results, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    held = json.loads(read_element(page, "results"))
    (example,) = held["examples"]["0"]
    assert example["crop"].startswith("data:image/webp;base64,")
    assert example["picture"] is None
    assert (example["file_name"], example["prediction"]["category"]) == (HOSTILE, HOSTILE)
    assert len(held["examples"]["worst"]) == 3
    assert json.loads(read_element(page, "start")) == {"kind": "results", "embedded": True}


def test_a_picture_that_is_gone_leaves_its_example(tmp_path) -> None:
    results = read_results(make_scores(tmp_path / "scores"))
    (tmp_path / "10.png").unlink()
    (example,) = embed.embed_results(results)["examples"]["0"]
    assert example["crop"] is None


def test_examples_are_bounded_the_worst_first_then_one_of_each_pair(monkeypatch) -> None:
    monkeypatch.setattr(embed, "MOST_CROPS", 6)
    places = embed.choose_places({"worst": 2, "0": 3, "1": 1, "2": 2})
    assert places == [("worst", 0), ("worst", 1), ("0", 0), ("1", 0), ("2", 0), ("0", 1)]


def test_columns_of_numbers_alone_are_aligned_as_such(tmp_path):
    rows = [["cat", "32", "0.95"], ["dog 2", "1,204", "-"]]
    write_example(tmp_path / "r.html", [Section("Classes", [], ["class", "objects", "x"], rows)])
    page = (tmp_path / "r.html").read_text()
    assert '<th scope="col">class</th><th scope="col" class="number">objects</th>' in page
    assert '<td>dog 2</td><td class="number">1,204</td><td>-</td>' in page

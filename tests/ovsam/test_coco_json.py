import gzip
import json
import math
import os
import tracemalloc

import pytest

from ovsam import coco_json
from ovsam.coco_json import get_image_file_name, iterate_json, iterate_json_blocks

DATA = {
    "info": {"year": 2017, "text": 'ünïcode 猫 \\ " [}'},
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b, ]}.jpg"}],
    "empty": [],
    "numbers": [1, 2.5, -3e7, 12345678],
    "nested": [[1, [2]], None, True, "text"],
    "last": 123456,
}


def rebuild(path):
    result = {}
    for key, value in iterate_json(path):
        if key.endswith("[]"):
            result[key[:-2]].append(value)
        else:
            result[key] = value
    return result


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_value_arrives_whatever_the_window(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(coco_json, "_CHUNK_BYTES", chunk)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(DATA, ensure_ascii=False, indent=indent), encoding="utf-8")
    assert rebuild(path) == DATA


def test_top_level_list_byte_order_mark_and_gzip(tmp_path):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf [ {"a": NaN} , 2 ]\n'))
    items = list(iterate_json(path))
    assert items[0] == ("", [])
    assert math.isnan(items[1][1]["a"])
    assert items[2] == ("[]", 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cut off"),
        ('{"images": [{"id": 1}', "cut off"),
        ('{"images": [{"id": 1', "delimiter|Expecting"),
        ('{"a": 1} {"b": 2}', "end of the file"),
        ("hello", "expected an object or an array"),
        ("3", "expected an object or an array"),
        ("{a: 1}", "quoted key"),
        ('{"a": [1 2]}', "expected ','"),
        ("[" * 100_000, "nested too deeply|cut off|Expecting"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path, text, reason):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        list(iterate_json(path))


def test_wrong_encoding_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(ValueError, match="UTF-8"):
        list(iterate_json(path))


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "x.json"
    item = json.dumps({"id": 1, "segmentation": [0.5] * 100})
    path.write_text('{"annotations": [' + ", ".join([item] * 20_000) + "]}")
    tracemalloc.start()
    count = sum(key == "annotations[]" for key, _ in iterate_json(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert path.stat().st_size > 10_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"file_name": "a/b.jpg"}, ("a/b.jpg", False)),
        ({"coco_url": "http://x.org/val2017/01.jpg"}, ("val2017/01.jpg", True)),
        ({"file_name": "", "coco_url": "http://x.org/val2017/01.jpg"}, ("val2017/01.jpg", True)),
        ({"id": 3}, (None, False)),
    ],
)
def test_file_name_comes_from_the_name_or_the_url(image, expected):
    assert get_image_file_name(image) == expected


def test_blocks_hold_every_item_in_order_whatever_is_inside(tmp_path):
    path = tmp_path / "x.json"
    items = [{"id": i, "text": '}, {"a": 1', "inner": [{"b": 1}, {"c": i}]} for i in range(9000)]
    items[4000]["score"] = float("nan")
    path.write_text(json.dumps({"first": items, "second": [1, 2], "third": [{"x": 1}]}))
    blocks = list(iterate_json_blocks(path))
    found = [item for key, block in blocks if key == "first[]" for item in block]
    assert len(blocks) < 2000
    assert found[4000].pop("score") != 0
    del items[4000]["score"]
    assert found == items
    assert [value for key, value in blocks if key in ("second[]", "third[]")] == [
        [1],
        [2],
        [{"x": 1}],
    ]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="a pipe, socket or device"):
        list(iterate_json(tmp_path / "a.json"))

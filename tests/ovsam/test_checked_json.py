import pytest

from ovsam.checked_json import MOST_LEVELS, check_keys, parse_json
from ovsam.errors import ConfigError, show_value


def test_plain_values_come_back():
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    assert parse_json(b"[1]") == [1]


@pytest.mark.parametrize("levels", [MOST_LEVELS + 1, 1000, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_at_any_depth(levels, left, right):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(left * levels + "1" + right * levels)
    most = left * MOST_LEVELS + "1" + right * MOST_LEVELS
    assert parse_json(most) is not None


@pytest.mark.parametrize(
    "text", ["", "{", "nul", '"a', "1" * 5000, b"\xff\xff", '{"a": "\\ud800"}']
)
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


KINDS = {
    "name": str,
    "count": int | None,
    "rates": dict[str, float],
    "part": {"size": int},
    "items": [{"id": int}],
}


def test_keys_are_checked_and_others_left_alone():
    check_keys({}, KINDS, "x")
    check_keys(
        {
            "name": "a",
            "count": None,
            "rates": {"b": 1},
            "part": {"size": 1, "new": []},
            "items": [{"id": 1, "new": 2}],
            "new": object,
        },
        KINDS,
        "x",
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "expected x as an object, got \\[\\]"),
        ({"name": 5}, "expected x.name as text, got 5"),
        ({"count": True}, "expected x.count as a whole number, got True"),
        ({"rates": {"b": "1"}}, "expected x.rates.b as a number, got '1'"),
        ({"part": None}, "expected x.part as an object, got None"),
        ({"part": {"size": 1.5}}, "expected x.part.size as a whole number"),
        ({"items": {}}, "expected x.items as a list"),
        ({"items": [3]}, r"expected x.items\[0\] as an object, got 3"),
        ({"items": [{}]}, r"expected 'id' in x.items\[0\]"),
    ],
)
def test_wrong_types_are_named(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_keys(values, KINDS, "x")


def test_values_of_any_size_are_shown_short():
    bomb: list[object] = ["x"] * 9
    for _ in range(40):  # 9 ** 41 texts if it were written out
        bomb = [bomb] * 9
    assert len(show_value(bomb)) <= 60
    assert show_value({"a": 1}) == "{'a': 1}"
    assert show_value({str(k): bomb for k in range(100_000)}) == "{100000 keys}"
    assert show_value(10**10_000) == "a huge number"
    assert len(show_value("y" * 10**7, 20)) == 20

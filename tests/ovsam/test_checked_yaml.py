import math
import time

import pytest

from ovsam.checked_yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),  # 90 in YAML 1.1
        ("yes", "yes"),
        ("off", "off"),
        ("012", "012"),
        ("1_000", "1_000"),
        ("2024-02-30", "2024-02-30"),
        ("2024-02-03", "2024-02-03"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-3", -3),
        ("0x10", 16),
        ("0o17", 15),
        ("1e5", 1e5),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("'5'", "5"),
        ("[1, [2]]", [1, [2]]),
        ("{b: 1, 2: c}", {"b": 1, 2: "c"}),
        ("C#", "C#"),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    found = parse_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &x [1]\nb: *x", "line 2: aliases"),
        ("a: !!python/object/apply:os.system [x]", "line 1: the tag .*os.system is not read"),
        ("a: !!binary aGk=", "line 1: the tag .*binary is not read"),
        ("a: 1\na: 2", "line 2: duplicate key 'a'; keep one"),
        ("{[1]: 2}", "line 1: expected a text or a number as key"),
        ("[" * 3000, "line 1: lists or mappings nested more than 100 deep"),
        ("a: " + "9" * 10_000, "line 1: a number of 10000 digits"),
        ("a: [1\nb: 2", "line 2: while parsing a flow sequence"),
        ('a: "\\ud800"', "half of a letter"),
        ("a: 1\n---\nb: 2", "line 2: expected a single document"),
        ("\0", "unacceptable character"),
    ],
)
def test_what_is_refused_is_one_line(text, sentence):
    with pytest.raises(ValueError, match=sentence) as found:
        parse_yaml(text)
    assert "\n" not in str(found.value)


def test_nine_levels_of_aliases_take_no_time():
    lines = ["a: &a [x]"]
    for last, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]")
    start = time.monotonic()
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml("\n".join(lines))
    assert time.monotonic() - start < 5


def test_names_are_texts_whatever_they_look_like():
    text = "{1: 0, true: yes, a: null, b: 1.50, c: ~, d: [012]}"
    found = parse_yaml(text, as_texts=True)
    assert found == {"1": "0", "true": "yes", "a": "null", "b": "1.50", "c": "~", "d": ["012"]}

from dataclasses import dataclass
from typing import Literal

import pytest

from ovsam.errors import ConfigError
from ovsam.strict import build_strict, check_fields, suggest_keys, suggest_names


@dataclass(frozen=True)
class Inner:
    size: int
    ratio: float = 1.0


@dataclass(frozen=True)
class Outer:
    kind: Literal["round", "square"] = "round"
    inner: Inner = Inner(1)
    many: tuple[Inner, ...] = ()
    corner: tuple[int, int] = (0, 0)
    note: str | None = None
    fast: bool = False


def test_nested_values_of_a_file_become_dataclasses():
    values = {
        "kind": "square",
        "inner": {"size": 2, "ratio": 3},
        "many": [{"size": 4}],
        "corner": [5, 6],
        "note": None,
    }
    found = build_strict(Outer, values)
    assert found == Outer("square", Inner(2, 3.0), (Inner(4),), (5, 6))
    assert isinstance(found.inner.ratio, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"expected config as a mapping, got \[\]"),
        ({"kinds": "round"}, r"unknown key 'kinds' in config \(did you mean 'kind'\?\)"),
        ({"zzz": 1}, "unknown key 'zzz' in config; known keys: corner, fast, inner"),
        ({"kind": 1}, "expected config.kind as text, got 1"),
        ({"kind": "oval"}, "expected config.kind as one of round, square, got 'oval'"),
        ({"inner": {"ratio": 1}}, "expected 'size' in config.inner, got only ratio"),
        ({"inner": {"size": True}}, "expected config.inner.size as a whole number, got True"),
        ({"inner": {"size": 1.5}}, "expected config.inner.size as a whole number, got 1.5"),
        ({"many": {"size": 1}}, "expected config.many as a list, got"),
        ({"many": [{"size": "1"}]}, r"expected config.many\[0\].size as a whole number, got '1'"),
        ({"corner": [1]}, r"expected config.corner as a list of 2, got \[1\]"),
        ({"note": 3}, "expected config.note as text, got 3"),
        ({"inner": {"size": 1, "ratio": 10**400}}, "config.inner.ratio as a number, got a huge"),
        ({"fast": 1}, "expected config.fast as true or false, got 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(values, message):
    with pytest.raises(ConfigError, match=message):
        build_strict(Outer, values)


def test_fields_of_a_made_dataclass_can_be_checked():
    check_fields(Outer())
    with pytest.raises(ConfigError, match="expected kind as one of round, square, got 'oval'"):
        check_fields(Outer(kind="oval"))


def test_near_names_are_suggested_else_all_keys_or_nothing():
    assert suggest_names("cta", ["cat", "dog"]) == " (did you mean 'cat'?)"
    assert suggest_names("zebra", ["cat"]) == ""
    assert suggest_keys("zebra", ["dog", "cat"]) == "; known keys: cat, dog"

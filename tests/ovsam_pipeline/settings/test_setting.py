from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import (
    Panel,
    document_settings,
    list_settings,
    parse_names,
    setting,
    settle_fields,
    settle_values,
)


@document_settings
@dataclass(frozen=True, kw_only=True)
class Config:
    """A few settings."""

    out: str | None = setting(None, Panel.OUTPUT, "Where.", shown="here")
    kind: Literal["a", "b"] = setting("a", Panel.WHAT, "Which.")
    share: float = setting(0.5, Panel.WHAT, "How much.", flags=("--share", "--part"), most=1)
    names: tuple[str, ...] = setting((), Panel.WHAT, "Who.", parse=parse_names)
    step_s: float | None = setting(None, Panel.WHAT, "When.", above=0)

    def __post_init__(self) -> None:
        settle_fields(self)


def test_values_of_files_and_notebooks_become_those_of_the_fields():
    found = Config(names="x, y", share=1, out=Path("a"))
    assert (found.names, found.share, found.out) == (("x", "y"), 1.0, "a")
    assert isinstance(found.share, float)
    assert Config(names=["x"]).names == ("x",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "c"}, "expected --kind as one of a, b, got 'c'"),
        ({"share": 1.5}, "expected --share from 0 to 1, got 1.5"),
        ({"out": ""}, "expected --out as text, got ''"),
        ({"names": ","}, "expected --names as names with commas between, got ','"),
        ({"step_s": float("inf")}, "expected --step-s above 0, got inf"),
        ({"shere": 1}, r"unknown setting 'shere' \(did you mean 'share'\?\)"),
    ],
)
def test_what_cannot_work_is_refused_by_its_flag(values, message):
    with pytest.raises(ConfigError, match=message):
        settle_values(Config, values)


def test_a_declaration_says_what_help_and_files_need():
    settings = list_settings(Config)
    assert list(settings) == ["kind", "share", "names", "step_s", "out"]  # panel by panel
    assert [s.value_text for s in settings.values()][:2] == ["a|b", "X"]
    assert [s.default_text for s in settings.values()] == ["a", "0.5", "", "", "here"]
    assert settings["share"].keys == {"share", "part"}
    assert settings["step_s"].flag == "--step-s"


def test_the_docstring_lists_the_settings():
    assert "share: How much." in Config.__doc__


@pytest.mark.parametrize("cls", [LabelConfig, EvalConfig])
def test_every_flag_belongs_to_one_setting(cls):
    flags = [flag for declared in list_settings(cls).values() for flag in declared.flags]
    assert len(flags) == len(set(flags))

"""The Python API's keyword arguments are the settings."""

import pytest

from ovsam_pipeline.audit.config import AuditConfig
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.settings.keywords import AuditKeywords, EvalKeywords, LabelKeywords
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import Panel, list_settings


@pytest.mark.parametrize(
    ("keywords", "config", "named"),
    [
        (LabelKeywords, LabelConfig, {"sources", "output"}),
        (EvalKeywords, EvalConfig, {"dataset"}),
        (AuditKeywords, AuditConfig, {"dataset"}),
    ],
)
def test_keywords_are_the_settings(keywords, config, named):
    declared = list_settings(config).values()
    names = {s.name for s in declared if s.panel is not Panel.INTERNAL} - named
    # A new setting belongs into ovsam_pipeline/settings/keywords.py, too.
    assert keywords.__annotations__.keys() == names

"""`ovsam train check`: what is wrong with the data of a masks, labels or joint stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ovsam.training.baseline_stages import BaselineStageSettings
from ovsam.training.data_check import check_data
from ovsam.training.label_stage import LabelStageSettings, TrainingData, load_classes
from ovsam.training.mixed_data import open_data
from ovsam_pipeline.console import print_result

if TYPE_CHECKING:
    from ovsam_pipeline.training_stages import DataLimits

Settings = TypeVar("Settings", LabelStageSettings, BaselineStageSettings)


def apply_limits(settings: Settings, limits: DataLimits) -> Settings:
    """Return a stage's settings with what the command line says of bad data."""
    if limits.max_bad is not None:
        settings = replace(settings, data_budget=limits.max_bad)
    if limits.all_images:
        settings = replace(settings, check_images=-1)
    if limits.vocabulary is not None:
        settings = replace(settings, vocabulary=limits.vocabulary)
    return settings


def run_check(settings: LabelStageSettings, data: TrainingData) -> None:
    """Write what is found to stdout, a line each.

    Raises:
        ConfigError: A set cannot be opened, or too much of one is bad.
    """
    entries = data.entries(settings.data)
    opened = open_data(entries, load_classes(settings.vocabulary, entries))
    report = check_data(opened, settings.check_images, settings.step.with_labels)
    for line in report.lines():
        print_result(line)
    report.refuse_past(settings.data_budget)

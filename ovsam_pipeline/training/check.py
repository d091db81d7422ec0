"""`ovsam train check`: what is wrong with the data of a masks, labels or joint stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovsam.training.data.check import check_data
from ovsam.training.data.mixed import open_data
from ovsam.training.stages.label import LabelStageSettings, TrainingData, load_classes
from ovsam_pipeline.terminal.app import print_result

if TYPE_CHECKING:
    pass


def run_check(settings: LabelStageSettings, data: TrainingData) -> None:
    """Write what is found to stdout, a line each."""
    entries = data.entries(settings.data)
    opened = open_data(entries, load_classes(settings.vocabulary, entries))
    report = check_data(opened, settings.check_images, settings.step.with_labels)
    for line in report.lines():
        print_result(line)
    report.refuse_past(settings.data_budget)

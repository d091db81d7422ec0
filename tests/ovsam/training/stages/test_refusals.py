"""Settings and folders that cannot work are refused with what was expected and what came."""

import pytest

from ovsam.errors import ConfigError
from ovsam.strict import build_strict
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.loop.schedule import Schedule
from ovsam.training.samples import AugmentSettings
from ovsam.training.scenes.pool import ScenePool


def test_an_empty_range_of_sizes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0 < min_ratio <= max_ratio, got 2.0 and 1.0"):
        AugmentSettings(min_ratio=2.0, max_ratio=1.0)


@pytest.mark.parametrize("numbers", [{"warmup_steps": -1}, {"milestones": (1.5,)}])
def test_an_impossible_schedule_is_refused(numbers) -> None:
    with pytest.raises(ConfigError, match=r"warmup_steps >= 0 and milestones between 0 and 1"):
        Schedule(**numbers)


def test_a_folder_without_a_pool_names_what_is_missing(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"got no images.npy; draw one with `ovsam train pool`"):
        ScenePool(tmp_path)


def test_a_single_value_for_a_list_is_refused() -> None:
    values = {"steps": 1, "schedule": {"milestones": 0.5}}
    with pytest.raises(ConfigError, match=r"expected run.schedule.milestones as a list, got 0.5"):
        build_strict(LoopSettings, values, "run")

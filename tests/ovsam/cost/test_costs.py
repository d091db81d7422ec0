import subprocess
import sys
from pathlib import Path

import pytest

from ovsam.cost.costs import read_costs
from ovsam_pipeline.commands.info import count_named, find_structure

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["nano", "mobilesam", "rn50"])
def test_kept_costs_are_those_that_are_counted(name):
    from ovsam.cost.profile import profile_model

    assert read_costs()[name] == profile_model(find_structure(name))


@pytest.mark.slow
def test_every_kept_cost_is_that_which_is_counted():
    assert read_costs() == count_named()


def test_tables_of_the_docs_are_those_of_the_kept_costs():
    command = [sys.executable, "scripts/cost_tables.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")

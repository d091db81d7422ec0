"""`python -m ovsam`: the command `ovsam`, where the tool around the model is installed."""

import runpy

# By name: the model imports nothing of the tool.
runpy.run_module("ovsam_pipeline", run_name="__main__")

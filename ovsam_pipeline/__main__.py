"""`python -m ovsam_pipeline`: the command `ovsam`."""

from ovsam_pipeline.cli import main

main()

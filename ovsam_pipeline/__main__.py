"""`python -m ovsam_pipeline`: the command `ovsam`."""

import os
import sys

# `-m` puts the working folder first, and a folder of data may hold any `numpy.py`. Without pathlib,
# which would be looked for there, too.
if sys.path[0] == os.getcwd() and not os.path.isfile("ovsam/__main__.py"):  # noqa: PTH109, PTH113
    del sys.path[0]

from ovsam_pipeline.cli import main

main()

"""One file per command: options in, results on stdout and an exit code out.

`cli.py` registers them. Options of label, detect and eval come from the declared settings
(`options.py`). Bodies import what they need when they run, so that `--help` stays fast.
"""

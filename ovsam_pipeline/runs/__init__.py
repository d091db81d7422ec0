"""One run of label, detect or relabel, from settings to a `LabelResult`.

`run.py` is the story of a run (list, load, plan, label, export); begin there. `api.py` has the
functions that commands and programs call; `settings.py` joins config file and given values.
"""

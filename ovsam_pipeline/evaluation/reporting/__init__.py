"""Numbers → what people and later runs read.

`files.py` (metrics.json, per_class.csv, samples), `tables.py` (a terminal, with the paper's rows),
`plots.py`, `cases.py` (which instances people should look at), `worst.py` (pictures of the worst),
`compare.py` (with an earlier evaluation).
"""

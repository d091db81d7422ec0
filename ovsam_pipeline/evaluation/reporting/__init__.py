"""Numbers → what people and later runs read.

`files.py` (metrics.json, per_class.csv, samples), `tables.py` (a terminal, with the paper's rows),
`plots.py`, `worst.py` (pictures of the worst instances), `compare.py` (with an earlier evaluation).
"""

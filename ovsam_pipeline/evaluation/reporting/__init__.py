"""Numbers → what people and later runs read.

`files.py` (metrics.json, per_class.csv, samples, curves), `tables.py` (a terminal, with the paper's
rows), `plots.py`, `cases.py` (which instances people should look at), `examples.py` (those for
pages of results), `worst.py` (pictures of them), `compare.py` (with an earlier evaluation).
"""

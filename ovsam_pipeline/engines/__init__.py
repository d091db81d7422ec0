"""Who labels: this process (`local.py`) or the workers of a Ray cluster (`cluster/`).

In: a `Work` (plan, writer, report, stop, stats). Out: parts in the output folder, a `RunSummary`.
Begin with `engine.py`, the contract of both; `choose.py` picks and opens one.
"""

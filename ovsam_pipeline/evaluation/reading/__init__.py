"""Files of annotations and predictions → the tables of `structures.py`.

Read in blocks into numpy columns, so that millions of predictions fit in memory; masks wait on
disk. Odd values are repaired, left out or refused here, and counted: scoring meets none. Begin with
`truth.py` and `predictions.py`.
"""

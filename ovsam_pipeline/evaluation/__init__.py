"""Labels and a data set → numbers: what `ovsam eval` does.

In: the settings of an evaluation, a COCO or LVIS file, and predictions: an output of `ovsam label`,
a results file, or what the evaluation labels itself. Out: metrics.json, per_class.csv, samples,
plots, pictures of the worst instances, and a comparison with an earlier evaluation. Begin with
`run.py`, the whole way from top to bottom; `structures.py` holds the tables that `reading/` fills,
`scoring/` measures and `reporting/` shows.
"""

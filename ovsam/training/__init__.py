"""Training both stages of the paper, its baselines, and nano from nothing.

In: a YAML file of settings, data sets, weights to start from. Out: a run's folder with its log,
checkpoints and a model file. Order of the packages: loop (how any step is repeated) → scenes (drawn
data) → data (sets of images) → steps (what is learned in a step) → stages (which parts train, on
what). Begin with `stages/label.py`; `samples.py` is what data passes to steps.
"""

"""Stages of training: which model, which parts train, on which data, what is measured and saved.

In: a stage's settings, weights to start from. Out: a model file that `ovsam label` reads. Begin
with `label.py`.
"""

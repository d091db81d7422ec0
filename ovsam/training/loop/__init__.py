"""The loop of every training: seeds, optimiser, checkpoints, exact resume, processes, signals.

In: a step function and its settings. Out: a log, checkpoints, the moving average. Begin with
`loop.py`.
"""

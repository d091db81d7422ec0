"""`ovsam train`: from the request on the command line to processes, validation and messages.

In: a `StageRequest` (stage, YAML file, data, weights, output folder). Out: a run's folder, by one
process, torchrun's, or Ray's. The training itself is `ovsam/training`. Begin with `stages.py`.
"""

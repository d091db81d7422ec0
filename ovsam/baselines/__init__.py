"""The baselines of the paper's Table 1: SAM + CLIP, zero-shot, with CoOp or with an adapter.

config.py → model.py (crops.py, adapters.py) ; coop.py: class names ; files.py: to disk and back.
"""

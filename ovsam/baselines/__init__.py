"""The baselines of the paper's Table 1: a SAM and a CLIP, zero-shot, with CoOp or with an adapter.

Begin reading at model.py, which segments with SAM and names what it cuts out (crops.py) or pools
(adapters.py). config.py has the numbers, coop.py the learned prompts, files.py the file on disk.
"""

"""What is learned in one step: prompts, forward pass, losses.

In: training samples and a model. Out: losses by name. Begin with `label.py` (CLIP2SAM) or
`distil.py` (SAM2CLIP); `prompted.py` is the frame that prompted steps share.
"""

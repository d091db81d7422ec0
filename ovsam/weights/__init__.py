"""Names and files of weights → a model's tensors, and back to disk.

    known_weights (table) → hub + download → files → tensor_files → checkpoint → OVSAM

Begin reading at checkpoint.py, which gives every known layout ovsam's names. convert.py makes one
file of several; files.py has the cache folder and the one way in which files are written whole.
"""

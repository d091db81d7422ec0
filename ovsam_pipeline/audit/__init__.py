"""A data set that people labelled → what in it is doubtful, ranked: what `ovsam audit` does.

settings (config) → labels of its images and of its boxes (labelling) → opinions → suspicions →
findings → files and pictures. Never writes into the data set.
"""

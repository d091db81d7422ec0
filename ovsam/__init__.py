"""Open-Vocabulary SAM: boxes and points in, masks and labels of any vocabulary out."""

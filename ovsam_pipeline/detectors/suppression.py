"""Which boxes of an image are kept: score threshold, duplicates, number, classes. The same for every detector."""

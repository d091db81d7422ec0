"""`ovsam demo`: a person points at objects, the model answers, what is right is kept."""

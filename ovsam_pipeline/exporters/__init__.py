"""The output folder in other formats, one file a format."""

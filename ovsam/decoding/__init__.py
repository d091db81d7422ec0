"""What `ovsam/decode.py` needs to know of single formats: colour profiles, cut JPEGs, TIFF pages.

Each file turns one kind of oddity into pixels or into a sentence; none reads files or knows paths.
"""

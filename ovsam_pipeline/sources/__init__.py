"""What the user names on the command line → the images to label, one ImageRecord each.

Sources: folders, files, globs, list files, COCO and LVIS JSON, tar archives, Parquet files and
saved Hugging Face data sets, on this machine and on object stores, and images at web addresses.
`opening.py` decides what a source is; one file a kind lists it; `listing.py` gives names and ids.
"""

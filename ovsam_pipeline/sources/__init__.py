"""Which images: what the user named on the command line → an ImageRecord for each image.

In: folders, files, globs, list files, COCO and LVIS JSON, tar archives, Parquet files and saved
Hugging Face data sets, on this machine and on object stores, and web addresses. `listing.py` names
and numbers the images of all sources; begin there. `opening.py` decides what a source is, and one
file per kind lists it: `tree.py` (folders, globs, single files), `list_file.py`, `coco_file.py`,
`tables.py`; `containers.py` opens the archives that any of these meet. `spool.py` holds the records
of a run. `read_image.py` decodes them, when a worker asks for the pixels.
"""

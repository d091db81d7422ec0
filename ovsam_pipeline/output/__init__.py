"""The output folder: rows come in and are on disk for good; a later run learns what is left to do.

`place` turns -o and OUT into checked places, `lock` lets one run write at a time, `folder` holds
the folder and the rules of resuming, `parts` writes and reads one Parquet file of rows. `plan`
compares the listed images with the `done_index` of all rows. `part_tables` reads many parts fast,
for exports; `earlier_run` finds the settings of the run that filled a folder. Begin with `folder`.

Where files cannot be read or written, an OutputError is raised; a ConfigError where other settings
(another -o, --on-existing) would help.
"""

"""One server that editors ask for masks and names: Label Studio, X-AnyLabeling, CVAT.

Each speaks its own protocol (a file each); `model.py` is what all of them ask.
"""

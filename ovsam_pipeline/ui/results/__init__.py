"""An evaluation as a page shows it: `data.py` (what), `crops.py` (pictures), `routes.py`."""

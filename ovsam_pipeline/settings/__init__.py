"""What a run is asked to do.

Values of the command line and of config files → frozen, checked settings.

Each setting is declared once (`setting.py` says how; `label.py` has those of label and detect, and
`evaluation/config.py` those of eval). Read `label.py` first.
"""

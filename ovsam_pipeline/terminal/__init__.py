"""How ovsam writes to the terminal: results and exit codes, notes on stderr, bars and tables.

`app.py` first: the one place where errors and signals become exit codes.
"""

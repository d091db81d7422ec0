"""`ovsam view`: an output → a gallery of its images, filtered and sorted in the page.

The page gets columns of all images and objects at once (`index.py`), whole rows as it shows them
(`rows.py`), and pictures. What people answer goes to OUT/reviews.jsonl (`answers.py`).
"""

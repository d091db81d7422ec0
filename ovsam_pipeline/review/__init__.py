"""People's opinion on labels: which ones to ask about, what was shown, what they answered.

Input: an output folder. Output: tasks for an editor, and from what comes back answers
(`output/reviews.py`).
"""

"""Files of editors that people corrected → `CorrectedImage`s; one file per editor."""

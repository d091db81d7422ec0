"""detectron2_zoo."""

"""rcnn."""

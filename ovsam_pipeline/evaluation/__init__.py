"""Measuring labels: ground truth and predictions → IoU, accuracy, AP, and pictures of them."""

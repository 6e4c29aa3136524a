"""Evaluation: metrics with intervals, calibration, test-time augmentation, label issues, comparison."""

"""How good a classifier is, and how certain that is: metrics, intervals, calibration, comparison."""

"""How good predictions are: scores, calibration, and the review of held-out posts."""

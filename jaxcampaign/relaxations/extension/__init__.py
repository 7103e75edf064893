"""The multilinear extension: closed form, estimates, and the continuous greedy on it."""

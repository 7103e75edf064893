"""Boosted trees behind one small interface, for means and for deviations."""

"""Solvers of campaigns, one algorithm a file."""

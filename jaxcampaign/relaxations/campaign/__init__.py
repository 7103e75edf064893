"""Easier problems for campaigns: the linear program over some options, and the dual."""

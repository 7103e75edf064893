"""Network and trees together, blended and calibrated."""

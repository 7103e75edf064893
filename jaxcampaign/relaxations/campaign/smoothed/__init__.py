"""The Lagrangian dual of a campaign, smoothed by entropy and minimised by Newton's method."""

"""Posts on offer and posts of the past, described by what was known when each was planned."""

"""Minimum and maximum of numbers that both options and settings take."""

SEED = 0, 2**63 - 1
"""Seeds that both NumPy and torch accept."""
SIDE = 16, 2_048
"""Height or width of an image in pixels."""
BATCH = 1, 65_536
THREADS = 1, 1_024
ACTORS = 1, 100_000
COUNT = 1, 1_000_000
NEIGHBOURS = 1, 10_000
MEMBERS = 2, 1_000
"""Images of a group, which are positives of each other."""

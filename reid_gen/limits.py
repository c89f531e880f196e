"""Least and most of numbers that options and settings share."""

SEED = 0, 2**63 - 1
"""What NumPy and torch both take."""
SIDE = 16, 2_048
"""Rows or columns of an image."""
BATCH = 1, 65_536
THREADS = 1, 1_024
COUNT = 1, 1_000_000
NEIGHBOURS = 1, 10_000
MEMBERS = 2, 1_000
"""Of a group; they are positives of each other."""

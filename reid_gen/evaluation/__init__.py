"""Feature extraction, ranking, re-ranking and clustering quality."""

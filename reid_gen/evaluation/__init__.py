"""Feature extraction, ranking, re-ranking, and metrics of clusterings and generated images."""

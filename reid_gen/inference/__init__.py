"""Use of a trained encoder: feature extraction, search and export."""

"""Use of a trained encoder: features, search, export."""

"""Rendering of posed bodies into body maps."""

"""Readers of the supported data sets: each builds a ``Dataset`` from a folder on disk."""

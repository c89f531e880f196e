"""Positives that are generated before training and stored."""

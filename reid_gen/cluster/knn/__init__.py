"""Nearest neighbours: exact on CPU and GPU, and approximate ones."""

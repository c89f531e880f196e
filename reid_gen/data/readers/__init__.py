"""Readers of data sets: from a folder on disk to images and labels."""

"""Data sets on disk, decoding, augmentation and sampling."""

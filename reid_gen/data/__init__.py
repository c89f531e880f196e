"""Data sets: readers, image decoding, augmentation, batch sampling and files of features."""

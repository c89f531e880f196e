"""The ``reid-gen`` command line."""

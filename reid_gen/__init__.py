"""reid-gen: person re-identification learned from unlabelled camera crops."""

__version__ = "0.1.0"

"""A training run: stages, steps, terms, run folder."""

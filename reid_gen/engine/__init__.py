"""Training: build from settings, stages, steps, loop, checkpoints, journal."""

"""Public diffusion models that draw people on bodies."""

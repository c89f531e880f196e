"""Diffusion models that draw people."""

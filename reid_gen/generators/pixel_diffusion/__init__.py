"""A small diffusion model on pixels."""

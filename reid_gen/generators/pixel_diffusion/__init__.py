"""The pixel diffusion model."""

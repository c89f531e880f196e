"""Public text-to-image diffusion models, controlled by body maps."""

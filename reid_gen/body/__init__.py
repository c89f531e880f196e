"""Human bodies as meshes: models, drawing, turning, and parameters per image."""

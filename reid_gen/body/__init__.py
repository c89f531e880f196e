"""SMPL-format bodies: body models, body parameters per image, estimation and rendering."""

"""The mesh-guided GAN of GCL."""

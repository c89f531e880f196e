"""Identity encoder, backbones and pose heads, and the files that hold their weights."""

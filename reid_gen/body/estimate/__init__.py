"""Body estimation: from images, checkpoints or files of other programs to body parameters."""

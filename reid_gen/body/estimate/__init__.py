"""From images, or files of other programs, to bodies."""

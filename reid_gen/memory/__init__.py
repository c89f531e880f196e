"""The memory bank: the only state of the contrastive loss."""

"""Memory: the only contrastive state."""

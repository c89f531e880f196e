"""From posed bodies to body maps."""

"""From features to pseudo labels."""

"""Synthetic pedestrians: people, clothes, cameras and crops, rendered in Market-1501's layout."""

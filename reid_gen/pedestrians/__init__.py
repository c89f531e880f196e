"""Rendered pedestrians: people, clothes, cameras and crops in the layout of Market-1501."""

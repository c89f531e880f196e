"""From settings to objects; only this package and cli know the settings."""

"""Settings: what a YAML file may say, and the strict reader of it."""

"""The settings of a YAML file: their schema, and strict reading and writing."""

"""Sources of new views of a person, behind one protocol."""

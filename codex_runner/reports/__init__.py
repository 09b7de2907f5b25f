"""Reports of a run for people and machines: they take the state and return text."""

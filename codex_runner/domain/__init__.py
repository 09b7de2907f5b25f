"""The nouns: what a job, a run, an event and an ending are. Standard library only, no I/O."""

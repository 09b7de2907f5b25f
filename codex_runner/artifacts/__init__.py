"""Artifacts: globs, the collector, and the run's own files."""

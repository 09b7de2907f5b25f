"""Checks that use a library: the JSON Schema of a reply, the detector of credentials."""

"""Keeps secrets out of all that is written: the redactor, and the search for what it has missed."""

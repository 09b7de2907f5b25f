"""Carriers: how a command begins on a host, and how its failure reads."""

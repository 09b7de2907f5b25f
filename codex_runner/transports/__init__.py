"""Hosts that execute: this machine, and any that a carrier reaches."""

"""Hosts that execute: this machine, and any that OpenSSH reaches."""

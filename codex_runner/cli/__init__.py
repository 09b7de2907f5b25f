"""The command line. One module a command; it knows wiring and what is above it, and nobody knows it."""

import gc

# What is loaded at the start stays to the end: looking through it for garbage again and again costs a twentieth of the
# time until a job begins. A long run still collects, less often.
gc.set_threshold(100_000)

"""The command line: one thin command a file."""

import gc

# What is loaded at the start stays to the end: collecting it again and again costs a twentieth of the time until a job
# begins. A long run still collects, less often.
gc.set_threshold(100_000)

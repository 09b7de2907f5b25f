"""Trees of files that the runner makes for a run, on whichever host executes it, and that go with the run.

A workspace is a git repository of its own, at one commit, HEAD detached: nothing that happens in it reaches another run
or the repository that it comes from. What the host has of earlier commits it keeps in a mirror, so that only what is
new travels.
"""

"""The event that GitHub hands to a job: a file, named by a variable."""

from __future__ import annotations

import contextlib
import json
import tempfile


@contextlib.contextmanager
def event_file(environ, payload):
    """The environment with the payload's file in it; without a payload, as it is."""
    if payload is None:
        yield environ
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(payload, file)
        file.flush()
        yield {**environ, "GITHUB_EVENT_PATH": file.name}

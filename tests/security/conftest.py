"""The projects of the integration tests, for an agent that steals."""

from integration.conftest import codex, codex_home, project, service

__all__ = ["codex", "codex_home", "project", "service"]

"""The projects of the integration tests, for an agent that steals."""

from integration.conftest import codex, codex_home, either_codex, project, service
from integration.ssh.conftest import server, there

__all__ = ["codex", "codex_home", "either_codex", "project", "server", "service", "there"]

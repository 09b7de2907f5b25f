"""The projects of the integration tests, for an agent that steals."""

from integration.conftest import codex, codex_home, either_codex, project, service
from integration.ssh.conftest import placed, server, there

__all__ = ["codex", "codex_home", "either_codex", "placed", "project", "server", "service", "there"]

"""The projects of the integration tests, for an agent that steals."""

import pytest
from integration.conftest import codex, codex_home, either_codex, project, service
from integration.ssh.conftest import placed, server, there
from support.runs import Project

__all__ = ["codex", "codex_home", "either_codex", "placed", "project", "server", "service", "there"]


@pytest.fixture(autouse=True)
def _cold(monkeypatch):
    """What is attacked is the whole program, from its start."""
    monkeypatch.setattr(Project, "is_cold", True)

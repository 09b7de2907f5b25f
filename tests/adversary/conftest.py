"""The projects, hosts and servers of the integration tests, for those who try to break the five promises."""

import pytest
from integration.conftest import codex, codex_home, project, service
from integration.ssh.conftest import placed, server, there
from integration.vault.conftest import issuer, own_server, place, place_on, secret_token, try_to_borrow, wire
from integration.vault.conftest import server as vault_server
from support.runs import Project

__all__ = [
    "codex",
    "codex_home",
    "issuer",
    "own_server",
    "place",
    "place_on",
    "placed",
    "project",
    "secret_token",
    "server",
    "service",
    "there",
    "try_to_borrow",
    "vault_server",
    "wire",
]


@pytest.fixture(autouse=True)
def _cold(monkeypatch):
    """What is attacked is the whole program, from its start."""
    monkeypatch.setattr(Project, "is_cold", True)

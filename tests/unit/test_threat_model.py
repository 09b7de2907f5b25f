"""The threat model says which rooms speak to others: no other module may have a library for it."""

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "codex_runner"
TEXT = (TOP / "docs/threat-model.md").read_text(encoding="utf-8")

# What opens connections. `socket` and `urllib` beside them name errors, addresses and the system's proxies.
NETWORK = {
    "aiohttp",
    "ftplib",
    "http.client",
    "httpx",
    "hvac",
    "imaplib",
    "opentelemetry",
    "paramiko",
    "requests",
    "smtplib",
}
NETWORK |= {"telnetlib", "urllib3", "websockets", "xmlrpc"}


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{name.name}" for name in node.names))


def speaks(source):
    return any(name == each or name.startswith(f"{each}.") for name in imported(source) for each in NETWORK)


def section(heading):
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_only_the_rooms_that_the_threat_model_names_speak_to_others():
    rows = [line.split("|") for line in section("What leaves the machine").splitlines() if line.startswith("| ")][2:]
    rooms = [room for row in rows for room in re.findall(r"`([a-z_/]+(?:\.py)?)`", row[4])]
    assert len(rooms) >= 9
    modules = [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(PACKAGE / "demo")]
    talking = [path.relative_to(PACKAGE).as_posix() for path in modules if speaks(path.read_text(encoding="utf-8"))]
    assert [each for each in talking if not each.startswith(tuple(rooms))] == []
    assert {"codex/key_preflight.py", "notify/send.py", "delivery/http.py", "vault/client.py"} <= set(talking)


@pytest.mark.parametrize(
    "source",
    ["import httpx", "def f():\n    from http import client", "from urllib3.util import Retry", "import http.client"],
)
def test_a_library_that_speaks_is_noticed(source):
    assert speaks(source)


def test_a_library_that_does_not_speak_is_none():
    assert not speaks("import json\nfrom http import HTTPStatus\nfrom urllib.parse import urlsplit")


def test_each_thing_that_leaves_is_held_by_a_test():
    rows = [line.split("|") for line in section("What leaves the machine").splitlines() if line.startswith("| ")][2:]
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row[5])
        assert named, row
        assert [each for each in named if not (TOP / each).is_file()] == []

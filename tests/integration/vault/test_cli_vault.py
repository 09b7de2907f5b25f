"""`codex-runner vault setup`: what it prints, and what it makes on a real OpenBao."""

from __future__ import annotations

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import commands

from codex_runner.demo.issuer import github_claims
from codex_runner.domain.credential import JwtAuth
from codex_runner.domain.errors import SecretStoreError
from codex_runner.vault.setup import SetupRequest

pytestmark = pytest.mark.needs_vault


@pytest.fixture
def setup(server, tmp_path):
    def setup(*arguments, **environ):
        environ = {"HOME": str(tmp_path), "VAULT_ADDR": server.address} | environ
        return commands.run("vault", "setup", *arguments, cwd=tmp_path, environ=environ)

    return setup


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/repos/acme/app"
        body = json.dumps({"id": 4711} if found else {"message": "Not Found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def github():
    """The one question of GitHub's API that is asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{api.server_port}"
        api.shutdown()


def test_it_prints_what_is_needed_and_touches_nothing(setup, github, server):
    name = f"acme/app/{uuid.uuid4().hex[:8]}"
    said = setup("--workflow", name, "--repo", "acme/app", GITHUB_API_URL=github, VAULT_ADDR="http://127.0.0.1:1")
    assert said.code == 0, said.stderr
    assert said.stdout.startswith("#!/bin/sh")
    assert '"repository_id": "4711"' in said.stdout
    assert "GitHub's number of acme/app is 4711" in said.stderr
    role = SetupRequest(workflow=name).name
    assert f'auth = {{ method = "jwt", role = "{role}" }}' in said.stderr
    assert f'credential = {{ mount = "codex", path = "{name}" }}' in said.stderr
    with pytest.raises(SecretStoreError):
        server.request("GET", f"sys/policies/acl/{role}")


@pytest.mark.parametrize(
    ("format_", "begins"), [("hcl", "# codex-acme-app-docs-"), ("terraform", 'resource "vault_mount" "codex"')]
)
def test_other_formats(setup, format_, begins):
    said = setup("--workflow", "acme/app/docs", "--repo", "acme/app", "--repository-id", "4711", "--format", format_)
    assert said.code == 0, said.stderr
    assert said.stdout.startswith(begins)


def test_options_reach_the_role(setup):
    arguments = (
        "--environment",
        "prod",
        "--ref",
        "refs/heads/next",
        "--event",
        "schedule",
        "--workflow-file",
        "ci.yml",
    )
    said = setup("--workflow", "acme/app/docs", "--repo", "acme/app", "--repository-id", "1", *arguments)
    for part in ('"environment": "prod"', "acme/app/ci.yml@refs/heads/next", '"schedule"', '"codex-runner"'):
        assert part in said.stdout
    assert "workflow_dispatch" not in said.stdout
    said = setup("--workflow", "acme/app/docs", "--gitlab-project", "42", "--jwt-mount", "gitlab", "--mount", "kv")
    for part in ('"project_id": "42"', "https://gitlab.com", "auth/gitlab/role/", "kv/data/acme/app/docs"):
        assert part in said.stdout
    said = setup("--workflow", "acme/app/docs", "--approle", "10.0.0.0/8", "--secret-id-ttl", "12h")
    for part in ('"10.0.0.0/8"', '"secret_id_ttl": 43200', "auth/approle/role/"):
        assert part in said.stdout
    assert 'method = "approle"' in said.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "--workflow"),
        (("--workflow", "acme/app/docs"), 2, "No login selected"),
        (("--workflow", "acme/app/*", "--repo", "acme/app", "--repository-id", "1"), 2, "have a meaning"),
        (("--workflow", "", "--repo", "acme/app"), 2, "`--workflow` '' cannot be used: it is empty"),
        (("--workflow", "a", "--repo", "a/b", "--delivery", ""), 2, "`--delivery` '' cannot be used: it is empty"),
        (
            ("--workflow", "a", "--repo", "a/b", "--delivery", "/x//y"),
            2,
            "`--delivery` '/x//y' cannot be used: it has `..`",
        ),
        (("--workflow", "a", "--repo", "a/b", "--repository-id", "1", "--event", "pull_request_target"), 2, "stranger"),
        (("--workflow", "a", "--approle", "10.0.0.0/8", "--secret-id-ttl", "long"), 2, "--secret-id-ttl"),
        (("--workflow", "a", "--approle", "10.0.0.0/8", "--format", "json"), 2, "--format"),
    ],
)
def test_what_is_unsafe_or_missing_is_refused(setup, arguments, code, told):
    said = setup(*arguments)
    assert said.code == code, said.stderr
    assert told in said.stderr


def test_a_repository_that_github_does_not_know(setup, github):
    said = setup("--workflow", "acme/app/docs", "--repo", "acme/nowhere", GITHUB_API_URL=github)
    assert said.code == 4
    assert "--repository-id" in said.stderr


def test_apply_makes_a_login_that_works(setup, server, issuer, place, try_to_borrow, given_back):
    arguments = ("--workflow", place.path, "--repo", "acme/app", "--repository-id", "4711", "--issuer", issuer.url)
    arguments += ("--workflow-file", ".github/workflows/docs.yml", "--jwt-mount", f"jwt-{place.name}", "--apply")
    root = server.root_token.reveal()
    said = setup(*arguments, VAULT_TOKEN=root)
    assert said.code == 0, said.stderr
    assert "kept KV version 2 at codex, with check-and-set required" in said.stdout
    role = SetupRequest(workflow=place.path).name
    assert f"wrote the role {role} at auth/jwt-{place.name}" in said.stdout
    assert root not in said.text
    token = issuer.sign(github_claims("acme/app", ".github/workflows/docs.yml") | {"repository_id": "4711"})
    auth = JwtAuth(role, mount=f"jwt-{place.name}", token_variable="J")
    outcome = try_to_borrow(place, place.settings(auth), {"J": token.reveal()})
    assert given_back(place, outcome)
    assert setup(*arguments, VAULT_TOKEN=root).stdout.startswith("kept KV version 2")


def test_apply_needs_the_right_to(setup, place):
    arguments = ("--workflow", place.path, "--approle", "127.0.0.1/32", "--apply")
    said = setup(*arguments, VAULT_TOKEN=place.token()["client_token"])
    assert said.code == 4
    assert "print the steps for an administrator" in said.stderr

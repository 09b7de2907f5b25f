"""A job and its delivery with both tokens in Vault, and a role as `codex-runner vault setup` makes it."""

import re
import shlex
import time

import pytest
from support import commands
from support.forge import APP
from support.runs import JOB, KEY_NAME

from codex_runner.demo.vault import VaultServer
from codex_runner.text.dates import format_date
from codex_runner.vault.setup import SetupRequest, runner_policy

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_vault]

WORKFLOW, FORGE = f"acme/app/{JOB}", "acme/app/forge"
REQUEST = SetupRequest(WORKFLOW, FORGE, approle_cidrs=("127.0.0.1/32",))


@pytest.fixture(scope="module")
def vault():
    with VaultServer() as server:
        yield server


@pytest.fixture
def by_vault(project, forge, nightly, vault, tmp_path):
    """The nightly job, set up and with its tokens stored by the commands that a reader of the docs types."""

    def typed(*words, stdin=b""):
        environ = {"HOME": str(project.home), "VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.root_token.reveal()}
        done = commands.run(*words, cwd=tmp_path, environ=environ, stdin=stdin)
        assert done.code == 0, done.text
        return done

    said = typed("vault", "setup", "--workflow", WORKFLOW, "--delivery", FORGE, "--approle", "127.0.0.1/32", "--apply")
    assert f'and its delivery: credential = {{ mount = "codex", path = "{FORGE}", workflow = "{WORKFLOW}" }}' in (
        said.stderr
    )
    put = re.search(r"is stored by: codex-runner (token put .*)$", said.stderr, re.MULTILINE)[1]
    typed(*shlex.split(put), "--owner", "ada", "--expires", "30d", stdin=APP.encode())
    now = time.time()
    stored = {"token": project.environ.pop(f"CODEX_RUNNER_CODEX__ENV__{KEY_NAME}"), "workflow": WORKFLOW}
    stored |= {"owner": "ada", "issued_at": format_date(now), "expires_at": format_date(now + 30 * 86400)}
    path = f"codex/data/{WORKFLOW}"
    known = vault.request("GET", f"codex/metadata/{WORKFLOW}")["data"]["current_version"] if _has(vault) else 0
    vault.request("POST", path, {"data": stored, "options": {"cas": known}})
    role = f"auth/approle/role/{REQUEST.name}"
    project.environ |= {
        "VAULT_ADDR": vault.address,
        "VAULT_ROLE_ID": vault.request("GET", f"{role}/role-id")["data"]["role_id"],
        "VAULT_SECRET_ID": vault.request("POST", f"{role}/secret-id", {})["data"]["secret_id"],
        "CODEX_RUNNER_VAULT__AUTH__METHOD": "approle",
        "CODEX_RUNNER_VAULT__AUTH__ROLE": REQUEST.name,
    }
    del project.environ["DELIVERY_TOKEN"]
    token = {"path": WORKFLOW, "workflow": WORKFLOW}
    nightly.configure(
        {"credential": {"path": FORGE, "workflow": WORKFLOW}},
        credential={"kind": "api_key", "env_key": KEY_NAME, **token},
    )
    return nightly


def _has(vault):
    paths = [entry["request"]["path"] for entry in vault.audit() if entry["type"] == "response"]
    return f"codex/data/{WORKFLOW}" in paths


def asked(vault, since=0):
    """What the role's logins asked of Vault, as its audit log has it."""
    return [
        (entry["request"]["operation"], entry["request"]["path"], bool(entry.get("error")))
        for entry in vault.audit()[since:]
        if entry["type"] == "response" and REQUEST.name in (entry.get("auth") or {}).get("policies", ())
        if "/login" not in entry["request"]["path"]
    ]


def test_the_role_may_do_what_a_run_and_its_delivery_do_and_no_more(project, forge, by_vault, vault):
    before = len(vault.audit())
    assert by_vault.run()["state"] == "delivered"
    by_vault.check_one()
    read = {f"codex/data/{WORKFLOW}", f"codex/data/{FORGE}"}
    did = asked(vault, before)
    assert {path for operation, path, _ in did if operation == "read"} == read
    assert {path for operation, path, _ in did if operation != "read"} == {"auth/token/revoke-self"}
    assert not any(refused for *_, refused in did)
    policy = vault.request("GET", f"sys/policies/acl/{REQUEST.name}")["data"]["policy"]
    assert set(re.findall(r'^path "(.*)"', policy, re.MULTILINE)) == {*read, "auth/token/revoke-self"}
    assert APP.encode() not in project.said


@pytest.mark.parametrize(
    ("lost", "key"), [(WORKFLOW, "the job's `credential.path`"), (FORGE, "the delivery's `credential.path`")]
)
def test_without_one_line_the_run_ends_before_the_agent_and_says_which(project, service, by_vault, vault, lost, key):
    (kept,) = {WORKFLOW, FORGE} - {lost}
    vault.request("PUT", f"sys/policies/acl/{REQUEST.name}", {"policy": runner_policy("codex", kept)})
    assert by_vault.run(4) is None
    said = project.last.run_json
    assert f"read the credential at codex/data/{lost}" in said["reason"]
    assert key in said["remedy"]
    assert f'path "codex/data/{lost}" {{ capabilities = ["read"] }}' in said["remedy"]
    assert service.requests == []
    assert by_vault.branches() == []


def test_a_token_of_another_workflow_names_the_deliverys_keys(project, service, by_vault, vault):
    stored = vault.request("GET", f"codex/data/{FORGE}")["data"]
    changed = {**stored["data"], "workflow": "acme/app/other"}
    vault.request("POST", f"codex/data/{FORGE}", {"data": changed, "options": {"cas": stored["metadata"]["version"]}})
    assert by_vault.run(4) is None
    remedy = project.last.run_json["remedy"]
    assert "the delivery's `credential.path`" in remedy
    assert f"`codex-runner token put {WORKFLOW} --path {FORGE} --kind api_key`" in remedy
    assert service.requests == []

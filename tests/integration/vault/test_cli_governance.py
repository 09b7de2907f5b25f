"""`codex-runner doctor JOB --governance`, with a real OpenBao, the real codex and the small forge."""

import subprocess

import pytest
import tomli_w
from support import commands
from support.forge import ACTIONS, APP, PROJECT, TOKENS

from codex_runner.demo.forge import SmallForge
from codex_runner.demo.model import ModelService

pytestmark = [pytest.mark.needs_vault, pytest.mark.needs_codex]


@pytest.fixture(scope="module")
def service():
    with ModelService("hi") as running:
        yield running


@pytest.fixture
def forge(tmp_path):
    with SmallForge(tmp_path / "forge", TOKENS) as running:
        yield running


class Reviewed:
    """A job that delivers, with its token in Vault."""

    def __init__(self, place, service, codex, folder, state, token):
        self.place, self.folder, self.token, self.state = place, folder, token, state
        place.put(token=token)
        model = service.with_access_token(token)
        environment = {name: value for name, value in model.environment.items() if name != "CODEX_ACCESS_TOKEN"}
        self.login = place.token()["client_token"]
        self.settings = {
            "version": 1,
            "vault": {"address": place.server.address, "auth": {"method": "token"}, "retry_deadline": "1s"},
            "codex": {"path": str(codex), "config": model.config, "env": environment},
            "audit": {"file": "audit.jsonl"},
            "jobs": {
                "docs": {
                    "prompt": "p",
                    "sandbox": "workspace-write",
                    "credential": {"path": place.path, "workflow": place.path},
                }
            },
        }
        self.environ = {"HOME": str(folder), "XDG_STATE_HOME": str(state), "VAULT_TOKEN": self.login}
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)

    def deliver(self, kind, api, secret):
        self.environ["FORGE"] = secret
        credential = {"source": "env", "variable": "FORGE", "allow_unexpiring": True}
        self.settings["jobs"]["docs"]["delivery"] = {
            "target": kind, "api": api, "repository": "acme/app", "base": "main", "credential": credential
        }  # fmt: skip

    def ask(self, *arguments, code=0):
        (self.folder / "codex-runner.toml").write_text(tomli_w.dumps(self.settings))
        said = commands.run("doctor", "docs", "--governance", *arguments, cwd=self.folder, environ=self.environ)
        assert said.code == code, said.text
        for secret in (self.token, self.login, self.environ.get("FORGE", self.login)):
            assert secret not in said.text
        # It leaves nothing behind. Tombstones stay for a day.
        assert not [path for path in self.state.rglob("*") if path.is_file() and path.parent.name != "discarded"]
        return said

    def answers(self):
        document = self.ask("--json").json
        assert document["version"] == 1
        found = {(each["question"], each["fact"]): each for each in document["answers"]}
        assert all((each["value"] is None) == (each["source"] is None) for each in found.values())
        assert all(each["why"] for each in found.values() if each["source"] is None)
        return found


@pytest.fixture
def reviewed(place, service, codex, codex_home, tmp_path, secret_token):
    service.accept({secret_token})
    return Reviewed(place, service, codex, tmp_path, codex_home, secret_token)


def test_vault_says_what_the_login_may_do(reviewed):
    own, place = f"codex/data/{reviewed.place.path}", reviewed.place
    found = reviewed.answers()
    # The role has no default policy, so it may not even ask: that is not known, and not "nothing".
    assert found["production-secrets", "vault_own_path"]["value"] is None
    assert "refused" in found["production-secrets", "vault_own_path"]["why"]
    assert found["token-owner", "owner"]["value"] == "ada"
    assert "version" in found["token-owner", "owner"]["source"]
    place.policy(
        f'path "{own}" {{ capabilities = ["read"] }}\n'
        'path "secret/data/*" { capabilities = ["read", "list"] }\n'
        'path "sys/capabilities-self" { capabilities = ["update"] }\n'
        'path "auth/token/revoke-self" { capabilities = ["update"] }'
    )
    found = reviewed.answers()
    assert found["production-secrets", "vault_own_path"] | {"why": None} == {
        "question": "production-secrets",
        "fact": "vault_own_path",
        "value": {own: ["read"]},
        "source": "Vault sys/capabilities-self",
        "why": None,
    }
    others = found["production-secrets", "vault_other_paths"]["value"]
    assert others["secret/data/codex-runner-probe"] == ["list", "read"]
    assert others["codex/data/acme/app/codex-runner-probe"] == ["deny"]
    assert "codex/" in found["production-secrets", "vault_mounts"]["value"]
    assert found["production-secrets", "sandbox_proof"]["value"]["outcome"] == "kept"
    assert found["logs", "audit_file"]["value"].endswith("audit.jsonl")
    assert found["logs", "codex_service"]["source"] is None
    assert found["bad-pull-request", "delivery"]["value"].startswith("none")
    table = reviewed.ask()
    assert table.stdout.splitlines()[0].split() == ["QUESTION", "FACT", "ANSWER", "SOURCE"]
    assert "not known" in table.stdout


def test_the_forge_says_what_a_token_reaches(reviewed, forge):
    reviewed.deliver("github", forge.github_api, APP)
    found = reviewed.answers()
    assert found["token-owner", "delivery_token_account"]["value"] == "notes-bot[bot]"
    assert found["token-owner", "delivery_token_kind"]["value"] == "installation token"
    assert found["repositories", "delivery_repositories"]["value"] == ["acme/app"]
    assert found["base-protection", "base"]["value"] == "main"
    assert found["base-protection", "protected"]["value"] is True
    assert found["base-protection", "rules"]["value"] == ["pull_request"]
    assert found["bad-pull-request", "merged_by_runner"]["value"] is False
    assert found["bad-pull-request", "on_held"]["value"] == "warn"
    # A forge that is away: nothing is claimed.
    reviewed.deliver("github", "http://127.0.0.1:9", ACTIONS)
    reviewed.settings["jobs"]["docs"]["delivery"]["api"] = f"{forge.url}/nothing/api/v3"
    found = reviewed.answers()
    assert found["base-protection", "protected"]["source"] is None
    assert found["repositories", "delivery_repositories"]["source"] is None


def test_gitlab_says_it_too(reviewed, forge):
    reviewed.deliver("gitlab", forge.gitlab_api, PROJECT)
    found = reviewed.answers()
    assert found["token-owner", "delivery_token_account"]["value"] == "project_4711_bot"
    assert "api" in found["token-owner", "delivery_token_scopes"]["value"]
    assert found["repositories", "delivery_repositories"]["value"] == ["acme/app"]
    assert found["base-protection", "protected"]["value"] is True


def test_it_is_about_one_job(reviewed):
    (reviewed.folder / "codex-runner.toml").write_text(tomli_w.dumps(reviewed.settings))
    said = commands.run("doctor", "--governance", cwd=reviewed.folder, environ=reviewed.environ)
    assert said.code == 2

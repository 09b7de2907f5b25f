"""The audit log of a whole run: a login, a token from Vault, the real codex, and what an auditor finds of it."""

from __future__ import annotations

import hashlib
import json

import pytest
import tomli_w
from support import commands

from codex_runner.demo.model import ModelService

pytestmark = [pytest.mark.needs_vault, pytest.mark.needs_codex]


def test_who_ran_what_with_which_secret(place, issuer, codex, codex_home, tmp_path, secret_token):
    claims = place.jwt_role()
    with ModelService("hi", bearers={secret_token}) as service:
        model = service.with_access_token(secret_token)
        environment = {name: value for name, value in model.environment.items() if name != "CODEX_ACCESS_TOKEN"}
        auth = {"method": "jwt", "role": place.name, "token_variable": "J"}
        settings = {
            "version": 1,
            "audit": {"file": "logs/audit.jsonl"},
            "vault": {"address": place.server.address, "auth": auth},
            "codex": {"path": str(codex), "config": model.config, "env": environment},
            "jobs": {"docs": {"prompt": "SCN:hi", "credential": {"path": place.path, "workflow": place.path}}},
        }
        config = tmp_path / "codex-runner.toml"
        config.write_text(tomli_w.dumps(settings))
        environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(codex_home), "J": issuer.sign(claims).reveal()}
        environ |= {"GITHUB_ACTOR": "ada", "GITHUB_EVENT_NAME": "schedule", "GITHUB_SHA": "0" * 40}
        said = commands.run("run", "docs", cwd=tmp_path, environ=environ)
        assert said.code == 0, said.stderr
        service.accept({"at-another"})
        assert commands.run("run", "docs", cwd=tmp_path, environ=environ).code == 4
    text = (tmp_path / "logs" / "audit.jsonl").read_text()
    assert secret_token not in text
    assert environ["J"] not in text
    start, end, refused, end_refused = map(json.loads, text.splitlines())
    assert [line["event"] for line in (start, end, refused, end_refused)] == ["start", "end"] * 2
    for line in (start, end):
        assert (line["actor"], line["trigger"], line["sha"]) == ("ada", "schedule", "0" * 40)
        assert (line["vault"]["method"], line["vault"]["role"]) == ("jwt", place.name)
        assert line["vault"]["request_id"]
        assert (line["secret"]["place"], line["secret"]["version"]) == (f"codex/{place.path}", place.version())
        assert line["secret"]["owner"] == "ada"
        assert line["config_sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
        assert line["prompt_sha256"] == hashlib.sha256(b"SCN:hi").hexdigest()
    assert not place.is_alive(start["vault"]["accessor"])
    with codex.open("rb") as file:
        assert end["codex"]["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    assert (end["result"], end["exit_code"], end["login_given_back"]) == ("succeeded", 0, True)
    assert (end_refused["result"], end_refused["exit_code"]) == ("failed", 4)
    assert end_refused["login_given_back"]
    for line in (refused, end_refused):
        assert (line["secret"]["place"], line["secret"]["owner"]) == (f"codex/{place.path}", "ada")
        assert line["vault"]["accessor"] not in {None, start["vault"]["accessor"]}

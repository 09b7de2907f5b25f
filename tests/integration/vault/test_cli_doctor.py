"""`codex-runner doctor`, with a real OpenBao, the real codex, and everything that may be wrong with them."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET

import pytest
import tomli_w
from support import commands

from codex_runner.codex.versions import VERSIONS
from codex_runner.demo.model import ModelService

pytestmark = [pytest.mark.needs_vault, pytest.mark.needs_codex]


@pytest.fixture(scope="module")
def service():
    with ModelService("hi") as running:
        yield running


class Patient:
    """A project that a run would succeed in, and ways to make it ill."""

    def __init__(self, place, service, codex, folder, state, token):
        self.place, self.folder, self.state = place, folder, state
        model = service.with_access_token(token)
        environment = {name: value for name, value in model.environment.items() if name != "CODEX_ACCESS_TOKEN"}
        self.login = place.token()
        self.settings = {
            "version": 1,
            "vault": {"address": place.server.address, "auth": {"method": "token"}, "retry_deadline": "1s"},
            "codex": {"path": str(codex), "config": model.config, "env": environment},
            "jobs": {"docs": {"prompt": "p", "credential": {"path": place.path, "workflow": place.path}}},
        }
        self.environ = {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(state),
            "VAULT_TOKEN": self.login["client_token"],
        }
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
        self.token = token

    @property
    def job(self):
        return self.settings["jobs"]["docs"]

    def see(self, *arguments):
        (self.folder / "codex-runner.toml").write_text(tomli_w.dumps(self.settings))
        before = sorted(path for path in self.folder.rglob("*") if ".git" not in path.parts)
        said = commands.run("doctor", *arguments, cwd=self.folder, environ=self.environ)
        assert self.token not in said.text
        assert self.login["client_token"] not in said.text
        after = sorted(path for path in self.folder.rglob("*") if ".git" not in path.parts)
        assert [path for path in after if path not in before and path.suffix != ".xml"] == []
        # Tombstones stay for a day.
        assert not [path for path in self.state.rglob("*") if path.is_file() and path.parent.name != "discarded"]
        return said

    def checks(self, *arguments, code=0):
        said = self.see(*arguments, "--json")
        assert said.code == code, said.text
        assert said.json["exit_code"] == code
        return {(each["subject"], each["check"]): each for each in said.json["checks"]}


@pytest.fixture
def patient(place, service, codex, codex_home, tmp_path, secret_token):
    service.accept({secret_token})
    return Patient(place, service, codex, tmp_path, codex_home, secret_token)


def test_a_healthy_project(patient):
    checks = patient.checks()
    assert {each["state"] for each in checks.values()} == {"ok"}
    for check in ("configuration", "output-dir", "vault", "host", "run-dir"):
        assert ("codex-runner", check) in checks
    for check in ("configuration", "credential", "credential-expiry", "codex", "credential-preflight", "git"):
        assert ("docs", check) in checks
    assert "Logged in using personal access token" in checks["docs", "credential-preflight"]["message"]
    assert "whole history" in checks["docs", "git"]["message"]
    assert "is supported: " in checks["docs", "codex-version"]["message"]
    table = patient.see("docs")
    assert table.code == 0
    assert table.stdout.splitlines()[0].split() == ["FOR", "CHECK", "STATE", "WHAT"]
    assert table.stderr == ""


def test_a_codex_that_is_newer_than_any_that_was_tested(patient, codex):
    newer = patient.folder / "newer-codex"
    newer.write_text(f'#!/bin/sh\n[ "$*" != --version ] || {{ echo codex-cli 999.0.0; exit; }}\nexec {codex} "$@"\n')
    newer.chmod(0o755)
    patient.settings["codex"]["path"] = str(newer)
    check = patient.checks("docs")["docs", "codex-version"]
    assert check["state"] == "warning"
    assert check["message"].startswith("codex 999.0.0 is untested: ")
    assert check["remedy"].endswith(f"install {VERSIONS.newest.version}.")


def test_the_login_is_given_back(patient, issuer):
    claims = patient.place.jwt_role()
    patient.settings["vault"]["auth"] = {"method": "jwt", "role": patient.place.name, "token_variable": "J"}
    patient.environ |= {"J": issuer.sign(claims).reveal()}
    checks = patient.checks("docs")
    revoked = checks["docs", "vault-revocation"]
    assert revoked["state"] == "ok"
    accessor = revoked["message"].rpartition("accessor ")[2].rstrip(").")
    assert not patient.place.is_alive(accessor)


def test_a_refused_login_names_what_to_do(patient):
    patient.settings["vault"]["auth"] = {"method": "jwt", "role": "nobody", "token_variable": "J"}
    patient.environ |= {"J": "a.b.c"}
    check = patient.checks(code=4)["docs", "credential"]
    assert check["state"] == "failed"
    assert "vault setup" in check["remedy"]


def test_a_token_that_ends_too_soon(patient):
    patient.job["credential"]["min_ttl"] = "90d"
    checks = patient.checks(code=4)
    assert checks["docs", "credential-lifetime"]["state"] == "failed"
    assert "token rotate" in checks["docs", "credential-lifetime"]["remedy"]
    assert checks["docs", "codex"]["state"] == "ok"
    assert ("docs", "credential-preflight") not in checks
    patient.job["credential"] = {"path": patient.place.path, "workflow": patient.place.path, "warn_ttl": "60d"}
    assert patient.checks()["docs", "credential-lifetime"]["state"] == "warning"


def test_a_token_that_the_service_refuses(patient, service):
    service.accept({"at-another"})
    checks = patient.checks(code=4)
    assert checks["docs", "credential-preflight"]["state"] == "failed"
    assert "401" in checks["docs", "credential-preflight"]["message"]


@pytest.mark.parametrize(("status", "code", "words"), [(503, 7, "out of reach"), (404, 4, "unknown")])
def test_a_service_that_refuses_nothing(patient, service, status, code, words):
    service.break_endpoint("whoami", status)
    try:
        check = patient.checks(code=code)["docs", "credential-preflight"]
    finally:
        service.break_endpoint("whoami", None)
    assert (check["state"], check["exit_code"]) == ("failed", code)
    assert words in check["message"]
    assert "Store a fresh token" not in check["remedy"]


def test_a_key_that_could_not_be_proven_is_a_warning(patient, service):
    """It was told as ok, with the status for an answer."""
    patient.job["credential"] = {
        "kind": "api_key",
        "source": "env",
        "variable": "CODEX_API_KEY",
        "preflight_url": f"{service.url}/v1/models",
    }
    patient.environ["CODEX_API_KEY"] = "sk-0123456789abcdef"
    service.accept({patient.environ["CODEX_API_KEY"]})
    service.break_endpoint("models", 503)
    try:
        checks = patient.checks()
    finally:
        service.break_endpoint("models", None)
    assert checks["docs", "credential-preflight"]["state"] == "warning"
    assert "answered 503" in checks["docs", "credential-preflight"]["message"]


def test_vault_is_down(patient):
    patient.settings["vault"]["address"] = "http://127.0.0.1:1"
    checks = patient.checks(code=5)
    assert checks["codex-runner", "vault"]["state"] == "failed"
    assert ("docs", "credential") not in checks


def test_vault_is_sealed(patient, own_server):
    own_server.request("PUT", "sys/seal")
    patient.settings["vault"]["address"] = own_server.address
    assert "sealed" in patient.checks(code=5)["codex-runner", "vault"]["message"]


def test_a_login_that_works_once_is_kept_for_the_run(patient):
    patient.settings["vault"]["auth"] = {"method": "approle", "role": "x", "wrapped": True}
    check = patient.checks()["docs", "credential"]
    assert (check["state"], check["message"].partition(":")[0]) == ("warning", "not checked")


def test_no_codex(patient):
    patient.settings["codex"]["path"] = "/nowhere/codex"
    checks = patient.checks(code=3)
    assert checks["docs", "codex"]["state"] == "failed"
    assert "npm install" in checks["docs", "codex"]["remedy"]


def test_what_is_wrong_in_the_configuration(patient):
    patient.job["tiemout"] = "5m"
    check = patient.checks(code=3)["codex-runner", "configuration"]
    assert "did you mean `timeout`" in check["message"]
    del patient.job["tiemout"]
    patient.job["cwd"] = "nowhere"
    assert patient.checks(code=3)["docs", "configuration"]["state"] == "failed"
    assert "no job" in patient.checks("dosc", code=3)["dosc", "configuration"]["message"]
    del patient.job["cwd"]
    patient.job["prompt"] = "About {{TOPIC}}."
    assert "--var TOPIC=..." in patient.checks()["docs", "configuration"]["message"]
    patient.settings["ssh_config"] = "nowhere"
    assert patient.checks(code=3)["codex-runner", "ssh-config"]["state"] == "failed"


@pytest.mark.parametrize(
    ("check", "settings"),
    [
        ("output-dir", {"output_dir": "file/out"}),
        ("audit-file", {"audit": {"file": "file/a"}}),
        ("audit-file", {"audit": {"file": "."}}),
        ("output-dir", {"output_dir": "file"}),
    ],
)
def test_places_that_cannot_be_written(patient, check, settings):
    (patient.folder / "file").write_text("x")
    patient.settings |= settings
    assert patient.checks(code=3)["codex-runner", check]["state"] == "failed"


def test_git_as_ci_has_it(patient, tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(source)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for number in range(2):
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", str(number)], check=True)
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{source}", str(patient.folder / "clone")], check=True
    )
    patient.job["cwd"] = "clone"
    check = patient.checks()["docs", "git"]
    assert (check["state"], "shallow" in check["message"]) == ("warning", True)
    assert "fetch-depth: 0" in check["remedy"]
    patient.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    check = patient.checks()["docs", "git"]
    assert check["state"] == "warning"
    assert "safe.directory" in check["remedy"]
    del patient.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"]
    patient.environ["GIT_CEILING_DIRECTORIES"] = str(patient.folder)
    plain = patient.folder / "plain"
    plain.mkdir()
    patient.job["cwd"] = "plain"
    assert "not a repository" in patient.checks()["docs", "git"]["message"]


def test_every_job_is_looked_at_and_the_first_failure_counts(patient, tmp_path):
    patient.settings["jobs"]["bare"] = {"prompt": "p", "codex": {"path": "/nowhere/codex"}}
    report = tmp_path / "doctor.xml"
    said = patient.see("--junit", report)
    assert said.code == 3
    suite = ET.parse(report).getroot().find("testsuite")
    red = [case.get("classname") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert red == ["doctor.bare"]
    assert {case.get("classname") for case in suite.iter("testcase")} >= {"doctor.codex-runner", "doctor.docs"}
    assert "codex-runner: bare, codex: " in said.stderr
    assert patient.see("docs").code == 0


def test_another_host_is_looked_at_too(patient):
    patient.settings["jobs"]["docs"] |= {"host": "nowhere.invalid", "cwd": "/tmp"}
    checks = patient.checks(code=patient.see().code)
    assert checks["nowhere.invalid", "host"]["state"] == "failed"
    assert checks["nowhere.invalid", "host"]["exit_code"] in {3, 6}

"""`codex-runner token` against a real OpenBao, with the real codex and a model service that knows its tokens."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import threading
import time
import tomllib
import uuid
import xml.etree.ElementTree as ET

import pytest
import tomli_w
from support import commands

from codex_runner.demo.model import ModelService
from codex_runner.demo.model_wire import refuse
from codex_runner.text.dates import format_date
from codex_runner.vault import setup

pytestmark = [pytest.mark.needs_vault, pytest.mark.needs_codex]

DAY = 86400.0
OLD, NEW = "at-old-token-that-must-not-be-seen", "at-new-token-that-must-not-be-seen"


@pytest.fixture(scope="module")
def service():
    with ModelService("hi", bearers={OLD, NEW}) as running:
        yield running


class Keeper:
    """Somebody who keeps a workflow's tokens: a project, a home, a Vault token with the rights that are asked for."""

    def __init__(self, server, service, codex, folder, home):
        self.server, self.service, self.folder, self.home = server, service, folder, home
        self.path = f"acme/app/c{uuid.uuid4().hex[:10]}"
        model = service.with_access_token(OLD)
        settings = {
            "version": 1,
            "vault": {"address": server.address, "auth": {"method": "jwt", "role": "the-pipelines"}},
            "codex": {
                "path": str(codex),
                "config": model.config,
                "env": {name: value for name, value in model.environment.items() if name != "CODEX_ACCESS_TOKEN"},
            },
            "jobs": {"docs": {"prompt": "SCN:hi", "credential": {"path": self.path}}},
        }
        (folder / "codex-runner.toml").write_text(tomli_w.dumps(settings))
        self.said = ""

    def vault_token(self, *policies):
        name = f"p{uuid.uuid4().hex[:10]}"
        self.server.request("PUT", f"sys/policies/acl/{name}", {"policy": "\n".join(policies)})
        body = {"policies": [name], "no_default_policy": True, "ttl": "3600s"}
        return self.server.request("POST", "auth/token/create-orphan", body)["auth"]["client_token"]

    def run(self, *arguments, rights=None, stdin=b"", **environ):
        rights = rights or (setup.rotator_policy("codex", self.path),)
        environ = {
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.home),
            "VAULT_TOKEN": self.vault_token(*rights),
        } | environ
        said = commands.run("token", *arguments, cwd=self.folder, environ=environ, stdin=stdin)
        self.said += said.text
        return said

    def put(self, token=OLD, *arguments, owner="ada", expires="30d"):
        given = ("--expires", expires) if expires else ()
        return self.run("put", self.path, "--owner", owner, *given, *arguments, stdin=f"{token}\n".encode())

    def rotate(self, token=NEW, *arguments):
        given = ("--owner", "ben", "--expires", "60d", *arguments)
        return self.run("rotate", self.path, *given, stdin=token.encode())

    def lister(self, *arguments):
        return self.run(*arguments, rights=(setup.lister_policy("codex"),))

    def data(self):
        return self.server.request("GET", f"codex/data/{self.path}")["data"]

    def metadata(self):
        return self.server.request("GET", f"codex/metadata/{self.path}")["data"]

    def check_nothing_is_left(self):
        """The scratch folders are gone, and no token was said or written."""
        left = [path for path in (*self.folder.rglob("*"), *self.home.rglob("*")) if path.is_file()]
        # Tombstones stay for a day.
        scratch = [path for path in left if path.suffix not in {".xml", ".toml"} and path.parent.name != "discarded"]
        assert [path.name for path in scratch] == []
        everything = self.said.encode() + b"".join(path.read_bytes() for path in left)
        for token in (OLD, NEW):
            for form in (token.encode(), base64.b64encode(token.encode())[:-4]):
                assert form not in everything


@pytest.fixture
def keeper(server, service, codex, codex_home, tmp_path):
    service.accept({OLD, NEW})
    keeper = Keeper(server, service, codex, tmp_path, codex_home)
    yield keeper
    keeper.check_nothing_is_left()


def test_put_proves_the_token_and_stores_it(keeper, service):
    asked = len(service.requests)
    said = keeper.put()
    assert said.code == 0, said.stderr
    assert f"codex/{keeper.path}: stored version 1, expires " in said.stdout
    assert "preflight: Logged in using personal access token" in said.stderr
    whoami = [request for request in service.requests[asked:] if request.path.endswith("/whoami")]
    assert {request.bearer for request in whoami} == {OLD}
    stored = keeper.data()["data"]
    assert (stored["token"], stored["workflow"], stored["owner"]) == (OLD, keeper.path, "ada")
    assert keeper.metadata()["custom_metadata"]["version"] == "1"


def test_a_refused_token_is_not_stored(keeper):
    said = keeper.put("at-unknown")
    assert said.code == 4
    assert "401" in said.stderr
    assert "Nothing was stored" in said.stderr
    said = keeper.lister("list", keeper.path.rpartition("/")[0], "--json")
    assert keeper.path not in {entry["workflow"] for entry in said.json}


def test_a_token_of_which_nobody_knows_is_not_called_refused(keeper, service):
    """Neither by a service that is down, which is asked again, nor by one whose answer means nothing."""
    assert keeper.put().code == 0
    service.break_endpoint("whoami", 404)
    unknown = keeper.put(NEW)
    service.break_endpoint("whoami", None)
    settings = tomllib.loads((keeper.folder / "codex-runner.toml").read_text())
    settings["codex"]["env"]["CODEX_AUTHAPI_BASE_URL"] = "http://127.0.0.1:1/authapi"
    (keeper.folder / "codex-runner.toml").write_text(tomli_w.dumps(settings))
    for said in (keeper.put(NEW), keeper.rotate(NEW)):
        assert said.code == 7, said.stderr
        assert said.stderr.count("the authentication service is out of reach (") == 2
        assert "it may be good" in said.stderr
    assert unknown.code == 4
    assert "unknown whether the new token is good" in unknown.stderr
    assert "404" in unknown.stderr
    assert all("refused" not in said.stderr for said in (unknown, said))
    assert keeper.data()["data"]["token"] == OLD


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "told"),
    [
        (("--owner", "ada", "--expires", "30d"), b"", 2, "stdin is empty"),
        (("--owner", "ada", "--expires", "30d"), b"two words", 4, "white space"),
        (("--owner", "ada", "--expires", "30d"), b"\xff\xfe", 4, "not text"),
        (("--owner", "ada", "--expires", "30d"), b"a" * 70000, 2, "too long"),
        (("--owner", "ada"), OLD.encode(), 2, "The token's expiry is unknown"),
        (("--owner", "ada", "--expires", "soon"), OLD.encode(), 2, "--expires 'soon' is not a date"),
        (("--owner", "ada", "--expires", "2020-01-31"), OLD.encode(), 4, "expired at"),
        (("--expires", "30d"), OLD.encode(), 2, "--owner"),
    ],
)
def test_what_is_no_token_or_has_no_date_is_refused(keeper, arguments, stdin, code, told):
    said = keeper.run("put", keeper.path, *arguments, stdin=stdin)
    assert said.code == code, said.stderr
    assert told in said.stderr


def test_a_token_says_itself_when_it_ends(keeper):
    """Before it is proven: the service here takes no JWT."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(time.time() + DAY)}).encode()).decode().rstrip("=")
    said = keeper.run("put", keeper.path, "--owner", "ada", "--expires", "30d", stdin=f"a.{claims}.b".encode())
    assert said.code == 2
    assert "The token itself expires at" in said.stderr


def test_rotate_proves_the_new_token_with_a_real_turn(keeper, service):
    assert keeper.put().code == 0
    asked = len(service.responses)
    said = keeper.rotate(NEW, "--json")
    assert said.code == 0, said.stderr
    assert "preflight: Logged in" in said.stderr
    assert "canary: succeeded in" in said.stderr
    turns = service.responses[asked:]
    assert turns
    assert {request.bearer for request in turns} == {NEW}
    answer = said.json
    assert (answer["version"], answer["retire_version"]) == (2, 1)
    custom = keeper.metadata()["custom_metadata"]
    assert (custom["owner"], custom["version"], custom["retire_version"]) == ("ben", "2", "1")
    assert custom["retire_after"] == answer["retire_after"]


def test_a_token_that_fails_the_canary_is_not_stored(keeper, service):
    assert keeper.put().code == 0

    service.default, before = "usage_limit", service.default
    try:
        said = keeper.rotate()
    finally:
        service.default = before
    assert said.code == 8
    assert "The canary run with the new token failed" in said.stderr
    assert "Nothing was stored" in said.stderr
    assert keeper.data()["data"]["token"] == OLD
    assert keeper.metadata()["current_version"] == 1
    assert "retire_version" not in keeper.metadata()["custom_metadata"]


def test_an_interrupted_canary_stores_nothing_and_leaves_nothing(keeper, service):
    assert keeper.put().code == 0
    begun = threading.Event()

    def hang(step, request):
        begun.set()
        service.closing.wait(300)
        return refuse(400, "too late")

    service.scenario("endless", hang)
    service.default, before = "endless", service.default
    rights = keeper.vault_token(setup.rotator_policy("codex", keeper.path))
    environ = {"HOME": str(keeper.folder), "XDG_STATE_HOME": str(keeper.home), "VAULT_TOKEN": rights}
    arguments = ("token", "rotate", keeper.path, "--owner", "ben", "--expires", "60d")
    process = commands.start(*arguments, cwd=keeper.folder, environ=environ, stdin=subprocess.PIPE)
    try:
        process.stdin.write(NEW.encode())
        process.stdin.close()
        process.stdin = None
        assert begun.wait(120)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        service.default = before
        process.kill()
        process.wait()
    keeper.said += (out + err).decode()
    assert process.returncode == 130, err.decode()
    assert keeper.metadata()["current_version"] == 1


def test_list_needs_no_right_to_read_tokens(keeper):
    assert keeper.put().code == 0
    said = keeper.lister("list", "acme/app")
    assert said.code == 0
    (line,) = [line for line in said.stdout.splitlines() if keeper.path in line]
    assert line.split()[:3] == [keeper.path, "ada", "1"]
    assert line.endswith("valid")
    assert said.stdout.startswith("WORKFLOW")
    (entry,) = [e for e in keeper.lister("list", "acme/app", "--json").json if e["workflow"] == keeper.path]
    assert (entry["owner"], entry["state"], entry["live_versions"]) == ("ada", "valid", [1])
    assert keeper.lister("list", "nowhere").stdout == ""


def test_check_is_red_before_a_token_ends(keeper, tmp_path):
    assert keeper.put(expires="3d").code == 0
    report = tmp_path / "check.xml"
    said = keeper.lister("check", keeper.path, "--junit", report)
    assert said.code == 4
    assert "expires in" in said.stdout
    assert "codex-runner token rotate" in said.stderr
    suite = ET.parse(report).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert suite.find("testcase/failure").get("message")
    green = keeper.lister("check", keeper.path, "--within", "1d", "--json", "--junit", report)
    assert green.code == 0
    assert [finding["outcome"] for finding in green.json["findings"]] == ["passed"]
    assert ET.parse(report).getroot().find("testsuite").get("failures") == "0"


def test_check_sweeps_what_is_due(keeper):
    keeper.path = keeper.path.replace("/app/", f"/{uuid.uuid4().hex}/")  # tokens of other tests are due, too
    assert keeper.put().code == 0
    assert keeper.rotate(NEW, "--grace", "1s").code == 0
    time.sleep(1.1)
    warned = keeper.lister("check", keeper.path, "--json")
    assert warned.code == 0
    assert "warned" in [finding["outcome"] for finding in warned.json["findings"]]
    rights = (setup.lister_policy("codex"), setup.rotator_policy("codex", keeper.path))
    said = keeper.run("check", keeper.path, "--sweep", "--json", rights=rights)
    assert said.code == 0, said.stderr
    assert said.json["swept"] == {f"codex/{keeper.path}": [1]}
    assert [finding["outcome"] for finding in said.json["findings"]] == ["passed"]
    assert keeper.metadata()["versions"]["1"]["destroyed"]
    assert keeper.data()["data"]["token"] == NEW
    again = keeper.run("sweep", keeper.path.rpartition("/")[0], rights=rights)
    assert again.code == 0


def test_destroy_asks_first(keeper):
    assert keeper.put().code == 0
    said = keeper.run("destroy", keeper.path)
    assert said.code == 2
    assert "--yes" in said.stderr
    assert keeper.data()["data"]["token"] == OLD
    said = keeper.run("destroy", keeper.path, "--yes", "--json")
    assert (said.code, said.json["destroyed"]) == (0, [1])
    assert "still works until its owner revokes it" in said.stderr
    assert keeper.metadata()["versions"]["1"]["destroyed"]


def revoker(keeper):
    read = setup.runner_policy("codex", keeper.path)
    return (read, setup.rotator_policy("codex", keeper.path).partition("\n\n")[2], setup.lister_policy("codex"))


def test_revoke_is_done_only_when_the_service_refuses_and_can_be_run_again(keeper, service):
    assert keeper.put().code == 0
    said = keeper.run("revoke", keeper.path, "--yes", "--wait", "1s", rights=revoker(keeper))
    assert said.code == 4, said.stderr
    assert "still works" in said.stderr
    assert "now ada revokes it" in said.stderr
    assert "Nothing is destroyed" in said.stderr
    assert keeper.data()["data"]["token"] == OLD
    service.accept({NEW})
    said = keeper.run("revoke", keeper.path, "--yes", "--wait", "1s", rights=revoker(keeper))
    assert said.code == 0, said.stderr
    assert keeper.metadata()["versions"]["1"]["destroyed"]
    assert said.stdout.endswith("the token is revoked\n")
    said = keeper.run("revoke", keeper.path, "-", "--yes", "--wait", "1s", rights=revoker(keeper), stdin=OLD.encode())
    assert said.code == 0, said.stderr


def test_revoke_leaves_what_is_stored_meanwhile(keeper, service):
    """The token that takes the place of the revoked one, for one."""
    assert keeper.put().code == 0
    environ = {"HOME": str(keeper.folder), "XDG_STATE_HOME": str(keeper.home)}
    environ["VAULT_TOKEN"] = keeper.vault_token(*revoker(keeper))
    waiting = commands.start("token", "revoke", keeper.path, "--yes", cwd=keeper.folder, environ=environ)
    try:
        heard = b""
        while b"looking again" not in heard:
            line = waiting.stderr.readline()
            assert line, heard
            heard += line
        assert keeper.put(NEW).code == 0
        service.accept({NEW})
        out, err = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        waiting.wait()
    keeper.said += (heard + out + err).decode()
    assert waiting.returncode == 0, err.decode()
    assert b"version 2 was stored meanwhile, and stays" in err
    assert keeper.data()["data"]["token"] == NEW
    assert keeper.metadata()["versions"]["1"]["destroyed"]


def test_an_api_key_is_known_by_its_looks_or_by_its_kind(keeper):
    """And the job that would take it for an access token is told."""
    key = b"sk-key-that-must-not-be-seen-0123456789"
    given = ("--owner", "ada", "--expires", "30d")
    refused = keeper.run("put", keeper.path, *given, stdin=key)
    assert refused.code == 4
    assert "This is an API key" in refused.stderr
    assert f'credential = {{ kind = "api_key", path = "{keeper.path}" }}` in [jobs.docs]' in refused.stderr
    assert "JWT" not in refused.stderr
    settings = (keeper.folder / "codex-runner.toml").read_text()
    (keeper.folder / "codex-runner.toml").write_text(
        settings.replace("[jobs.docs.credential]", '[jobs.docs.credential]\nkind = "api_key"')
    )
    assert keeper.run("put", keeper.path, *given, stdin=key).code == 0
    (keeper.folder / "codex-runner.toml").write_text(settings.partition("[jobs.docs.credential]")[0])
    said = keeper.run("put", keeper.path, *given, stdin=key)
    assert said.code == 0, said.stderr
    assert (
        f'this is an API key: set `credential = {{ kind = "api_key", path = "{keeper.path}" }}` in the job'
        in said.stderr
    )
    said = keeper.run("put", keeper.path, *given, "--kind", "api_key", stdin=b"gateway-key-0123456789")
    assert said.code == 0, said.stderr
    assert keeper.metadata()["current_version"] == 3


def test_put_over_a_token_retires_it(keeper):
    assert keeper.put().code == 0
    said = keeper.put(NEW, "--grace", "1s")
    assert said.code == 0, said.stderr
    assert f"codex/{keeper.path}: versions up to 1 may be swept from" in said.stdout
    rights = (setup.lister_policy("codex"), setup.rotator_policy("codex", keeper.path))
    deadline = time.monotonic() + 120
    while not (swept := keeper.run("check", keeper.path, "--sweep", "--json", rights=rights).json["swept"]):
        assert time.monotonic() < deadline
    assert swept == {f"codex/{keeper.path}": [1]}


def test_a_job_that_would_refuse_the_token_is_named(keeper):
    """By each rule of the run; and what no run would take is not stored."""
    said = keeper.put(OLD, "--issued", "2099-01-01")
    assert said.code == 2
    assert "`--issued` 2099-01-01T00:00:00Z is in the future" in said.stderr
    said = keeper.put(expires="never")
    assert said.code == 0
    assert "runs of docs will refuse this token" in said.stderr
    assert "[credential-expiry]" in said.stderr
    said = keeper.put(expires="10m")
    assert "[credential-lifetime]" in said.stderr


def test_a_service_that_is_down_has_not_revoked_anything(keeper, service):
    assert keeper.put().code == 0
    service.break_endpoint("whoami", 503)
    try:
        said = keeper.run("revoke", keeper.path, "--yes", "--wait", "1s", rights=revoker(keeper))
    finally:
        service.break_endpoint("whoami", None)
    assert said.code == 7
    assert "out of reach, so it is unknown whether" in said.stderr
    assert "503" in said.stderr


def test_without_a_configuration_the_variables_of_vault_are_enough(keeper):
    assert keeper.put().code == 0
    elsewhere = keeper.folder / "elsewhere"
    elsewhere.mkdir()
    (keeper.folder / "codex-runner.toml").rename(elsewhere / "other.toml")
    said = keeper.run("list", "acme/app", rights=(setup.lister_policy("codex"),), VAULT_ADDR=keeper.server.address)
    assert said.code == 0, said.stderr
    assert keeper.path in said.stdout
    said = keeper.run("list", rights=(setup.lister_policy("codex"),))
    assert said.code == 3
    assert "VAULT_ADDR" in said.stderr


def test_without_a_token_of_ones_own_the_pipelines_login_is_used(keeper):
    said = keeper.run("list", VAULT_TOKEN="")
    assert said.code == 4
    assert "There is no identity token to log in to Vault with" in said.stderr


def test_a_missing_right_is_told(keeper):
    assert keeper.put().code == 0
    said = keeper.run("list", rights=(setup.runner_policy("codex", keeper.path),))
    assert said.code == 4
    assert "lister's policy" in said.stderr


def test_dates_are_written_as_they_are_meant(keeper):
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 10 * DAY))
    assert keeper.put(OLD, "--issued", "2026-01-31", expires=day).code == 0
    stored = keeper.data()["data"]
    assert (stored["expires_at"], stored["issued_at"]) == (f"{day}T00:00:00Z", "2026-01-31T00:00:00Z")
    assert keeper.put(expires="never").code == 0
    assert "expires_at" not in keeper.data()["data"]
    assert format_date(time.time())[:10] in keeper.data()["data"]["issued_at"]

"""No unrevoked lease: what stands between the runner and a real OpenBao lies, and a login must not live on unsaid."""

import http.server
import json
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from integration.vault.conftest import Place, mount_kv
from support.runs import JOB
from support.ways import ways

from codex_runner.demo.vault import VaultServer
from codex_runner.domain.credential import UserpassAuth, VaultSettings

pytestmark = pytest.mark.needs_vault


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Gateway:
    """Stands before a server as a load balancer does. `change(kind, ask)` answers a request: `ask()` asks the server.

    `kind` is login, read, revoke or other; an answer is a status, headers, and a body.
    """

    def __init__(self, server, change):
        self.asked = []
        opener = urllib.request.build_opener(_Stay())
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path
                kind = next(
                    (
                        k
                        for k, part in {"login": "/login", "read": "/data/", "revoke": "revoke-self"}.items()
                        if part in path
                    ),
                    "other",
                )
                gateway.asked.append(kind)

                def ask(path=path):
                    headers = {k: v for k, v in self.headers.items() if k.lower().startswith(("x-vault", "content-t"))}
                    request = urllib.request.Request(
                        server.address + path, data=body or None, headers=headers, method=self.command
                    )
                    try:
                        with opener.open(request, timeout=20) as answer:
                            return answer.status, dict(answer.headers), answer.read()
                    except urllib.error.HTTPError as error:
                        return error.code, dict(error.headers), error.read()

                answer = change(kind, ask) or ask()
                status, headers, data = answer
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() in {"content-type", "location", "retry-after"}:
                        self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def vault():
    with VaultServer() as running:
        mount_kv(running)
        running.request("POST", "sys/auth/userpass", {"type": "userpass"})
        yield running


@pytest.fixture
def login(vault):
    """A place on the server, with a user of its own."""
    return with_user(Place(vault))


def with_user(place, **changes):
    role = place.role_settings(password="p") | changes
    place.server.request("POST", f"auth/userpass/users/{place.name}", role)
    return place


def settings_for(place, gateway, **changes):
    values = {"retry_deadline": 4.0, "revoke_deadline": 4.0, "sealed_deadline": 1.0} | changes
    return VaultSettings(address=gateway.address, auth=UserpassAuth(place.name), **values)


def use_vault(project, place, address):
    """Have the project's job borrow its key there."""
    project.environ["VAULT_PASSWORD"] = "p"
    configuration = project.cwd / "codex-runner.toml"
    auth = f'{{ method = "userpass", username = "{place.name}" }}'
    configuration.write_text(f'{configuration.read_text()}\n[vault]\naddress = "{address}"\nauth = {auth}\n')


def judged(place, outcome):
    """Whatever lives on has been told, by its accessor or as a login that nobody knows; and nothing says otherwise."""
    left = place.logins
    guard = outcome.guards.get("vault-revocation")
    if guard is not None and guard.passed:
        assert not any(accessor in guard.message for accessor in left), f"'{guard.message}' is a lie"
    told = outcome.text
    unsaid = [accessor for accessor in left if accessor not in told]
    assert not unsaid or "vault-lost-login" in outcome.warnings, (
        f"{len(unsaid)} logins live on, and nobody is told: {outcome.error or 'it succeeded'}; asked: {told[-600:]}"
    )
    return left


def once(kind, answer, *, before=True, count=1):
    """Give this answer to the first request of a kind, after (`before`) the server has done what it asks."""
    left = {"n": count}

    def change(asked, ask):
        if asked != kind or left["n"] <= 0:
            return None
        left["n"] -= 1
        if before:
            ask()
        return answer

    return change


PAGE = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}


def damaged(field, value):
    """Change a field of the login's answer."""

    def change(kind, ask):
        if kind != "login":
            return None
        status, headers, body = ask()
        data = json.loads(body)
        if value is KeyError:
            data["auth"].pop(field, None)
        else:
            data["auth"][field] = value
        return status, headers, json.dumps(data).encode()

    return change


# --- the login, made by the server and spoilt on its way --------------------------------------------------------------

HELD = {
    "a lifetime of nothing": damaged("lease_duration", 0),
    "a lifetime below nothing": damaged("lease_duration", -3600),
    "a lifetime in words": damaged("lease_duration", "5m"),
    "no lifetime": damaged("lease_duration", KeyError),
    "a lifetime that is true": damaged("lease_duration", True),
    "an accessor of another": damaged("accessor", "0123456789abcdef"),
    "no type": damaged("token_type", KeyError),
    "no policies": damaged("token_policies", []),
    "an accessor that is no text": damaged("accessor", {"a": 1}),
    "a token that is another's": damaged("client_token", "s.0123456789abcdef01234567"),
}


@pytest.mark.parametrize("way", ways(HELD, {"a lifetime of nothing"}))
def test_a_login_with(login, try_to_borrow, way):
    """A field of the login's answer is odd: what lives on is told, and what is told is so."""
    with Gateway(login.server, HELD[way]) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    if way == "a token that is another's":
        assert outcome.error is not None, "a token that the server does not know"
        return
    if way == "an accessor of another":
        assert login.logins == []
        return
    judged(login, outcome)
    assert login.logins == []


def test_a_batch_token_that_does_not_say_so(vault, try_to_borrow):
    """The login is a batch token, which cannot be revoked, and a gateway has taken its type away: it is no success."""
    place = with_user(Place(vault), token_type="batch")
    with Gateway(place.server, damaged("token_type", "service")) as gateway:
        outcome = try_to_borrow(place, settings_for(place, gateway), {"VAULT_PASSWORD": "p"})
    guard = outcome.guards.get("vault-revocation")
    assert outcome.error is not None
    assert guard is None or not guard.passed


# --- the credential, and the way back --------------------------------------------------------------------------------


def test_a_credential_of_another_path_from_a_cache(vault, login, try_to_borrow):
    """A cache answers with another workflow's token: it is refused by its name, and the login given back."""
    other = Place(vault)

    def change(kind, ask):
        if kind != "read":
            return None
        return 200, JSON, json.dumps(vault.request("GET", f"codex/data/{other.path}")).encode()

    with Gateway(login.server, change) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    assert outcome.error is not None
    assert "credential-workflow" in outcome.guards
    assert judged(login, outcome) == []


@pytest.mark.thorough
def test_sealed_between_the_read_and_the_way_back(own_server, try_to_borrow):
    """The server is sealed when the login is to be given back, and stays so: it is loud, with the accessor."""
    own_server.request("POST", "sys/auth/userpass", {"type": "userpass"})
    place = with_user(Place(own_server))

    def change(kind, ask):
        if kind == "revoke":
            return 503, JSON, b'{"errors":["Vault is sealed"]}'
        return None

    with Gateway(place.server, change) as gateway:
        outcome = try_to_borrow(place, settings_for(place, gateway), {"VAULT_PASSWORD": "p"})
    assert outcome.error is not None
    assert not outcome.guards["vault-revocation"].passed
    assert judged(place, outcome)


REVOKED_FOR_REAL = {
    "504 when it is done": once("revoke", (504, PAGE, b"<html>gateway time-out</html>")),
    "502 when it is done": once("revoke", (502, PAGE, b"<html>bad gateway</html>")),
    "500 in JSON when it is done": once("revoke", (500, JSON, b'{"errors":["internal"]}')),
    "429 before it is done": once("revoke", (429, JSON, b'{"errors":["quota"]}'), before=False),
    "412 before it is done": once("revoke", (412, JSON, b'{"errors":["not yet"]}'), before=False),
}


@pytest.mark.parametrize("way", ways(REVOKED_FOR_REAL))
def test_the_way_back_answers(login, try_to_borrow, way):
    """A gateway spoils the first answer to the revocation: in the end the login is dead, or told."""
    with Gateway(login.server, REVOKED_FOR_REAL[way]) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    assert judged(login, outcome) == []


@pytest.mark.thorough
@pytest.mark.needs_codex
@pytest.mark.needs_sshd
def test_a_host_that_is_gone_once_the_credential_is_borrowed(project, login, server):
    """The SSH host is unreachable: the login that was made for the run is not alive afterwards."""
    sshd = server()
    sshd.process.kill()
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    credential = {"path": login.path, "workflow": login.path, "kind": "api_key"}
    project.configure(credential=credential, host=sshd.alias, cwd=str(project.cwd), reconnect_timeout="2s")
    use_vault(project, login, login.server.address)
    done = project.run()
    assert done.code == 6, done.stderr[-2000:]
    assert login.logins == []


@pytest.mark.thorough
@pytest.mark.needs_codex
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_storm_of_signals_while_it_is_borrowed(project, login, number):
    """Twenty signals while the credential is read: the login is given back all the same."""
    reading = threading.Event()

    def change(kind, ask):
        if kind == "read":
            reading.set()
            time.sleep(0.7)

    with Gateway(login.server, change) as gateway:
        project.configure(credential={"path": login.path, "workflow": login.path, "kind": "api_key"})
        use_vault(project, login, gateway.address)
        running = project.start("run", JOB)
        assert reading.wait(120)
        for _ in range(20):
            running.signal(number)
            time.sleep(0.02)
        done = running.wait()
    assert done.code == 128 + number, done.stderr[-2000:]
    assert login.logins == []


# --- ways that break it -----------------------------------------------------------------------------------------------

SPOILT = {
    "504 from a load balancer": once("login", (504, PAGE, b"<html>gateway time-out</html>")),
    "502 from a load balancer": once("login", (502, PAGE, b"<html>bad gateway</html>")),
    "500 in JSON": once("login", (500, JSON, b'{"errors":["internal error"]}')),
    "200 with a page": once("login", (200, PAGE, b"<html>log in here</html>"), count=99),
    "200 with half of the JSON": once("login", (200, JSON, b'{"auth":{"client_to'), count=99),
    "200 with JSON of a portal": once("login", (200, JSON, b'{"ok":true}'), count=99),
    "200 with JSON that is no object": once("login", (200, JSON, b"[]"), count=99),
    "200 with a login that is no object": once("login", (200, JSON, b'{"auth":"none"}'), count=99),
    "200 and nothing": once("login", (200, JSON, b""), count=99),
    "204": once("login", (204, {}, b""), count=99),
    "503 in JSON of a gateway": once("login", (503, JSON, b'{"message":"Service Unavailable"}')),
    "403 with a page": once("login", (403, PAGE, b"<html>blocked</html>"), count=99),
    "403 in JSON of a firewall": once("login", (403, JSON, b'{"message":"Forbidden"}'), count=99),
    "a token that is cut out": damaged("client_token", KeyError),
    "a token that is no text": damaged("client_token", 1),
}


@pytest.mark.parametrize("way", ways(SPOILT, {"504 from a load balancer"}))
def test_a_login_that_was_made_and_whose_answer_is(login, try_to_borrow, way):
    """The server has made the login, and something in between answers otherwise: it lives on, and that is told."""
    with Gateway(login.server, SPOILT[way]) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    assert "login" in gateway.asked
    judged(login, outcome)


UNBOUNDED = {
    "a lifetime beyond all numbers": damaged("lease_duration", 10**400),
}


@pytest.mark.parametrize("way", UNBOUNDED)
def test_a_login_whose_answer_has(login, try_to_borrow, way):
    """A field of the login's answer cannot be read: the login is given back all the same, or told."""
    with Gateway(login.server, UNBOUNDED[way]) as gateway:
        try:
            outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
        except Exception as error:  # noqa: BLE001 - a bug, which is what this looks for
            pytest.fail(f"{type(error).__name__}, and {len(login.logins)} logins are alive")
    assert login.logins == [] or judged(login, outcome)


NOT_REVOKED = {
    "200 with JSON, as a portal says": (200, JSON, b'{"ok":true}'),
    "200 and nothing": (200, JSON, b""),
    "202 and nothing": (202, JSON, b""),
    "a redirect to the health of the server": (302, {"Location": "/v1/sys/health"}, b""),
    "a redirect to a page with nothing": (303, {"Location": "/v1/sys/seal-status"}, b""),
    "403 in a WAF's words": (403, JSON, b'{"errors":["permission denied"]}'),
    "403 that speaks of an invalid token": (403, JSON, b'{"errors":["1 error occurred: invalid token in header"]}'),
}


@pytest.mark.parametrize("way", ways(NOT_REVOKED, {"200 with JSON, as a portal says"}))
def test_a_revocation_that_never_came_to_the_server(login, try_to_borrow, way):
    """Something in between answers in the server's place: the guard does not say that the login was given back."""
    change = once("revoke", NOT_REVOKED[way], before=False, count=99)
    with Gateway(login.server, change) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    assert judged(login, outcome), "it is alive for real"


@pytest.mark.thorough
def test_a_revocation_that_another_server_answers(login, own_server, try_to_borrow):
    """A standby sends the revocation on to a server of another cluster, which does not know the token (403)."""

    def change(kind, ask):
        if kind == "revoke":
            return 307, {"Location": f"{own_server.address}/v1/auth/token/revoke-self"}, b""
        return None

    with Gateway(login.server, change) as gateway:
        outcome = try_to_borrow(login, settings_for(login, gateway), {"VAULT_PASSWORD": "p"})
    assert judged(login, outcome), "it is alive for real"

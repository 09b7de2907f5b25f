"""INT, TERM and HUP while a command holds a login of its own: whatever the instant, none is alive afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

import pytest
from support import commands

from codex_runner.cli.signals import Interruption
from codex_runner.domain.credential import UserpassAuth
from codex_runner.domain.secret import Secret
from codex_runner.vault import setup, tokens
from codex_runner.vault.lease import logged_in

pytestmark = pytest.mark.needs_vault

MOUNT = "userpass-commands"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def userpass(server):
    server.request("POST", f"sys/auth/{MOUNT}", {"type": "userpass"})


class Operator:
    """Somebody without a Vault token: the commands log in as `[vault]` says, over a wire that can hold a request."""

    def __init__(self, place, line, folder):
        self.place, self.line, self.folder = place, line, folder
        place.policy(setup.lister_policy("codex") + setup.rotator_policy("codex", place.path))
        place.server.request("POST", f"auth/{MOUNT}/users/{place.name}", place.role_settings(password="p"))
        self.auth = UserpassAuth(place.name, mount=MOUNT)
        auth = f'auth = {{ method = "userpass", username = "{place.name}", mount = "{MOUNT}" }}'
        (folder / "codex-runner.toml").write_text(f'version = 1\n[vault]\naddress = "{line.address}"\n{auth}\n')

    @property
    def logins(self):
        """The accessors of this user's logins that are alive."""
        return self.place.logins

    def made(self):
        """Return how many logins there have been."""
        return sum(
            entry["request"]["path"] == f"auth/{MOUNT}/login/{self.place.name}" and entry["type"] == "response"
            for entry in self.place.server.audit()
        )

    def start(self, *arguments):
        environ = {"HOME": str(self.folder), "VAULT_PASSWORD": "p"}
        return commands.start(*arguments, cwd=self.folder, environ=environ, stdin=subprocess.PIPE)

    def strike(self, arguments, what, number, stdin=b""):
        """Start a command, and send it a signal while it waits for the answer to a request of `what`."""
        waiting = threading.Event()

        def hold(request):
            if what in request and not waiting.is_set():
                process.send_signal(number)
                waiting.set()
                time.sleep(0.2)
            return False

        with self.start(*arguments) as process:
            self.line.swallow = hold
            out, err = process.communicate(stdin, timeout=commands.PATIENCE)
        assert waiting.is_set(), err
        return process.returncode, (out + err).decode()


@pytest.fixture
def operator(place, userpass, wire, tmp_path):
    with wire(place.server.port) as line:
        yield Operator(place, line, tmp_path)


def arguments_of(command, operator):
    """Return a command's arguments, and what it reads."""
    place = operator.place
    return {
        "check": (("token", "check", "--prefix", "acme"), b""),
        "list": (("token", "list", "acme"), b""),
        "sweep": (("token", "sweep", "acme"), b""),
        "put": (("token", "put", place.path, "--owner", "ada", "--expires", "30d"), b"at-new-token"),
        "destroy": (("token", "destroy", place.path, "--yes"), b""),
        "setup": (("vault", "setup", "--workflow", place.path, "--approle", "127.0.0.1/32", "--apply"), b""),
    }[command]


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("check", signal.SIGINT),
        pytest.param("list", signal.SIGTERM, marks=pytest.mark.thorough),
        pytest.param("sweep", signal.SIGHUP, marks=pytest.mark.thorough),
        ("put", signal.SIGTERM),
        pytest.param("destroy", signal.SIGINT, marks=pytest.mark.thorough),
        ("setup", signal.SIGHUP),
    ],
)
def test_a_command_that_is_struck_while_it_logs_in(operator, command, number):
    """The worst moment: Vault has made the login, and its accessor is still on the way."""
    arguments, stdin = arguments_of(command, operator)
    code, said = operator.strike(arguments, b"/login/", number, stdin)
    assert code == 128 + number, said
    assert operator.made() == 1
    assert operator.logins == []


def test_the_proof_of_a_token_is_cut_short_at_once(operator, tmp_path):
    """`token put` waits for codex while the login is held: a signal does not wait for that."""
    codex, asked = tmp_path / "codex", tmp_path / "asked"
    codex.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo codex-cli 0.163.0; exit; }}\ntouch {asked}\nsleep 60\n'
    )
    codex.chmod(0o755)
    config = tmp_path / "codex-runner.toml"
    config.write_text(f'{config.read_text()}[codex]\npath = "{codex}"\n')
    arguments, stdin = arguments_of("put", operator)
    began = time.monotonic()
    with operator.start(*arguments) as process:
        process.stdin.write(stdin)
        process.stdin.close()
        while not asked.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=commands.PATIENCE)
    assert process.returncode == 128 + signal.SIGHUP
    assert time.monotonic() - began < commands.PATIENCE
    assert operator.logins == []


class Struck(Exception):  # noqa: N818 - no error
    """What a signal raises in the test below."""


@pytest.fixture
def raising():
    """Let each of the signals raise Struck, as the command line lets them raise."""

    def strike(number, _):
        raise Struck(number)

    before = {number: signal.signal(number, strike) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_any_signal_at_any_instant(operator, raising):
    """Twenty instants between the first byte and the last: before, within and after the login, the work, the end."""
    environment = {"VAULT_PASSWORD": "p"}
    settings = operator.place.settings(operator.auth)
    dice, struck = random.Random(14), 0

    def whole():
        with logged_in(settings, environment, Interruption()) as client:
            tokens.entry_of(client, tokens.TokenPlace("codex", operator.place.path), now=time.time())

    began = time.monotonic()
    whole()
    usual = time.monotonic() - began
    for _ in range(20):
        number, after = dice.choice(SIGNALS), dice.uniform(0, usual)
        timer = threading.Timer(after, os.kill, (os.getpid(), number))
        try:
            timer.start()
            whole()
            timer.join()
        except Struck:
            struck += 1
        finally:
            try:
                timer.join()
            except Struck:
                struck += 1
    assert struck == 20
    assert operator.logins == []


@pytest.mark.parametrize("moment", ["/login/", "/metadata/", "revoke-self"])
def test_a_second_signal_changes_nothing(operator, raising, moment):
    def twice(request):
        if moment.encode() in request:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                os.kill(os.getpid(), number)
            time.sleep(0.05)
        return False

    operator.line.swallow = twice
    with (
        pytest.raises(Struck),
        logged_in(
            operator.place.settings(operator.auth, address=operator.line.address),
            {"VAULT_PASSWORD": "p"},
            Interruption(),
        ) as it,
    ):
        tokens.entry_of(it, tokens.TokenPlace("codex", operator.place.path), now=time.time())
    assert operator.made() == 1
    assert operator.logins == []


def test_a_signal_that_is_ignored_stays_ignored(operator):
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with logged_in(operator.place.settings(operator.auth), {"VAULT_PASSWORD": "p"}, Interruption()):
            os.kill(os.getpid(), signal.SIGHUP)
            assert len(operator.logins) == 1
    finally:
        signal.signal(signal.SIGHUP, before)
    assert operator.logins == []


def test_a_login_whose_answer_never_comes_is_told(operator):
    """Vault hangs: the command ends soon after the signal, and says what it cannot know."""
    over = threading.Event()

    def hang(request):
        if b"/login/" in request:
            process.send_signal(signal.SIGTERM)
            over.wait(120)
        return False

    with operator.start("token", "list", "acme") as process:
        operator.line.swallow = hang
        _, err = process.communicate(timeout=commands.PATIENCE)
        over.set()
    assert process.returncode == 128 + signal.SIGTERM
    assert "vault-lost-login" in err.decode()
    for accessor in operator.logins:
        operator.place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


def test_a_login_that_cannot_be_given_back_is_told_although_the_signal_ends_the_command(operator):
    operator.place.policy(setup.lister_policy("codex").partition('path "auth/token')[0])
    code, said = operator.strike(("token", "list", "acme"), b"/metadata/", signal.SIGINT)
    assert code == 128 + signal.SIGINT
    (accessor,) = operator.logins
    assert f"vault token revoke -accessor {accessor}" in said
    operator.place.server.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


@pytest.mark.parametrize("answered", [True, False])
def test_a_put_that_is_struck_says_what_is_stored(operator, raising, answered):
    """The signal ends the command; what Vault has by then is told all the same."""
    over = threading.Event()

    def strike(request):
        if b"/data/" in request:
            os.kill(os.getpid(), signal.SIGTERM)
            if not answered:
                over.wait(120)
        return False

    place, told = operator.place, []
    operator.line.swallow = strike
    now = time.time()
    token = tokens.NewToken(Secret("T", "at-new"), place.path, "ada", now, now + 86400)
    settings = place.settings(operator.auth, address=operator.line.address)
    with (
        pytest.raises(Struck),
        logged_in(settings, {"VAULT_PASSWORD": "p"}, Interruption(), on_retry=told.append) as client,
    ):
        tokens.put(client, tokens.TokenPlace("codex", place.path), token, now=now)
    over.set()
    said = "The token is stored, as version 2" if answered else "It is unknown whether the token was stored"
    assert any(said in line for line in told), told
    assert operator.logins == []

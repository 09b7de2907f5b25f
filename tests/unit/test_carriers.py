"""How each carrier reads the end of its client, and the words of a refusal."""

import pytest

from codex_runner.transports.carriers.carrier import UnansweredError
from codex_runner.transports.carriers.here import HereCarrier
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.carriers.ssh.refusals import remedy

SSH = SshCarrier("devbox", {"PATH": "/usr/bin", "VAULT_TOKEN": "t", "PROXY_PASS": "p", "CODEX_API_KEY": "k"})
HERE = HereCarrier({})


@pytest.mark.parametrize(
    ("carrier", "exit_code", "unanswered"),
    [(SSH, 255, False), (SSH, -9, False), (SSH, None, False), (SSH, 127, True), (SSH, 0, True), (HERE, 255, True)],
)
def test_only_an_end_that_is_not_the_carriers_own_is_the_shells(carrier, exit_code, unanswered):
    error = carrier.failure(exit_code, b"motd\nConnection reset by peer.\n\n")
    assert isinstance(error, UnansweredError) == unanswered
    assert str(error).endswith("Connection reset by peer")
    assert (f"exit code {exit_code}" in str(error)) == unanswered


def test_an_end_without_a_word():
    assert str(SSH.failure(255, b"")) == "the connection ended before the answer"


def test_the_client_gets_no_secret_of_the_runners_but_what_is_given():
    assert SSH.environ == {"PATH": "/usr/bin", "PROXY_PASS": "p"}
    assert SshCarrier("devbox", {"VAULT_TOKEN": "t"}, given=["VAULT_TOKEN"]).environ == {"VAULT_TOKEN": "t"}


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        ("Can't open user config file /x: No such file or directory", "Correct `ssh_config`"),
        ("ada@devbox: Permission denied (publickey).", "ssh -F f -v devbox true"),
        ("Offending key\nhost key for [10.0.0.1]:22 has changed\nREMOTE HOST IDENTIFICATION HAS CHANGED", "10.0.0.1"),
        ("ssh: Could not resolve hostname devbox: Name or service not known", "codex-runner hosts"),
        ("ssh: Could not resolve hostname devbox: Temporary failure in name resolution", None),
        ("ssh: connect to host 127.0.0.1 port 22: Connection refused", None),
    ],
)
def test_what_trying_again_will_not_help(complaint, words):
    advice = remedy(complaint, ssh="ssh -F f", alias="devbox")
    assert advice is None if words is None else words in advice

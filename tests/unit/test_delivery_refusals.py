"""What git and forges print when they refuse, word for word, and the error that it becomes."""

import pytest

from codex_runner.delivery.refusals import RefusalWords
from codex_runner.delivery.remote import Remote
from codex_runner.domain.delivery import ForgeCredential
from codex_runner.domain.errors import CredentialError, DeliveryError, ForgeUnreachableError
from codex_runner.domain.secret import Secret

TOKEN = "forge-token-0123456789abcdef"
URL = "https://forge.example/o/r.git"


@pytest.fixture
def words():
    return RefusalWords(Remote(URL, ForgeCredential(Secret("FORGE_TOKEN", TOKEN))))


NETWORK = [
    (
        "fatal: Authentication failed for 'https://github.com/o/r.git/'",
        CredentialError,
        "refuses the delivery's credential",
    ),
    (
        "remote: HTTP Basic: Access denied. The provided password or token is incorrect",
        CredentialError,
        "Access denied",
    ),
    ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", CredentialError, "Username"),
    (
        "git@github.com: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
        CredentialError,
        "",
    ),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 401", CredentialError, "401"),
    (
        (
            "remote: Permission to o/r.git denied to github-actions[bot].\n"
            "fatal: unable to access 'https://github.com/o/r/': The requested URL returned error: 403"
        ),
        DeliveryError,
        "does not let this credential in: Permission to o/r.git denied to github-actions[bot]",
    ),
    ("remote: Write access to repository not granted.", DeliveryError, "does not let this credential in"),
    ("ERROR: Permission to o/r.git denied to deploy key", DeliveryError, "does not let this credential in"),
    (
        "remote: You are not allowed to upload code.\nfatal: unable to access: The requested URL returned error: 403",
        DeliveryError,
        "You are not allowed to upload code",
    ),
    (
        "remote: Repository not found.\nfatal: repository 'https://github.com/o/r.git/' not found",
        DeliveryError,
        "not there",
    ),
    (
        "remote: The project you were looking for could not be found or you don't have permission to view it.",
        DeliveryError,
        "is not there, or the credential may not see it",
    ),
    ("fatal: '/x.git' does not appear to be a git repository", DeliveryError, "is not there"),
    ("Host key verification failed.\nfatal: Could not read from remote repository.", DeliveryError, "host key"),
    (
        "fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none",
        DeliveryError,
        "trusted",
    ),
    ("fatal: unable to access 'https://x/': SSL certificate problem: self signed", DeliveryError, "certificate"),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 301", DeliveryError, "redirects"),
    ("fatal: detected dubious ownership in repository at '/x'", DeliveryError, "dubious ownership"),
    ("fatal: unable to access 'https://x/': Could not resolve host: x", ForgeUnreachableError, "cannot be reached"),
    ("ssh: Could not resolve hostname x: Name or service not known", ForgeUnreachableError, "cannot be reached"),
    ("ssh: connect to host x port 22: Connection refused", ForgeUnreachableError, "cannot be reached"),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 502", ForgeUnreachableError, "502"),
    ("fatal: unable to access 'https://x/': The requested URL returned error: 429", ForgeUnreachableError, "429"),
    ("error: RPC failed; curl 56 Recv failure: Connection reset by peer", ForgeUnreachableError, "RPC failed"),
    ("fatal: early EOF", ForgeUnreachableError, "early EOF"),
    (
        "remote: You are not allowed to push code to this project.\nfatal: the requested URL returned error: 403",
        DeliveryError,
        "does not let this credential push",
    ),
    ("ERROR: The key you are authenticating with has been marked as read only.", DeliveryError, "does not let"),
    ("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", DeliveryError, "a push of this size"),
    ("fatal: pack exceeds maximum allowed size (2.00 GiB)", DeliveryError, "a push of this size"),
    (
        "batch response: This repository is over its data quota. Account responsible for LFS bandwidth should purchase",
        DeliveryError,
        "has no room for the change",
    ),
    ("gnutls_handshake() failed: The TLS connection was non-properly terminated.", ForgeUnreachableError, "gnutls"),
]


@pytest.mark.parametrize(("printed", "kind", "said"), NETWORK, ids=[row[0][:50] for row in NETWORK])
def test_a_failure_on_the_way(words, printed, kind, said):
    error = words.of_network(printed.encode())
    assert type(error) is kind
    assert said in error.message
    assert "https://forge.example/o/r.git" in error.message
    assert error.remedy != "Please report this with the log: it is a bug in codex-runner."


REJECTED = [
    (
        "protected branch hook declined",
        "remote: error: GH006: Protected branch update failed for refs/heads/main.",
        "protected",
    ),
    (
        "push declined due to repository rule violations",
        "remote: error: GH013: Repository rule violations found",
        "protected",
    ),
    (
        "pre-receive hook declined",
        "remote: GitLab: You are not allowed to force push code to a protected branch on this project.",
        "is protected",
    ),
    (
        "refusing to allow a GitHub App to create or update workflow `x.yml` without `workflows` permission",
        "",
        "may not change workflows",
    ),
    (
        "pre-receive hook declined",
        "remote: GitLab: Commit message does not follow the pattern",
        "does not follow the pattern",
    ),
    (
        "cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create 'refs/heads/a/b'",
        "",
        "beside another branch",
    ),
    ("shallow update not allowed", "", "shallow update not allowed"),
]


@pytest.mark.parametrize(("reason", "printed", "said"), REJECTED)
def test_a_rejected_ref(words, reason, printed, said):
    error = words.of_rejection("refs/heads/codex/docs", reason, printed.encode())
    assert said in error.message
    assert "codex/docs" in error.message


def test_no_message_has_the_token(words):
    printed = f"remote: you sent {TOKEN}\nfatal: unable to access 'https://x-access-token:{TOKEN}@forge.example/'"
    assert TOKEN not in words.of_network(printed.encode()).message
    assert words.lines(printed)[0] == "you sent ***FORGE_TOKEN***"


def test_an_address_with_a_user_is_shown_without_it():
    assert Remote("ssh://git@forge.example/o/r.git").shown == "ssh://forge.example/o/r.git"
    assert Remote("git@forge.example:o/r.git").shown == "git@forge.example:o/r.git"

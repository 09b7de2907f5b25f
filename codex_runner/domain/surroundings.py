"""Allow-lists of environment variables for the programs that the runner starts for itself.

ssh and the job's checks get more: the caller's environment without secrets (`secret_names`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# The variables of the supervisor, and so of codex; `scrub` on the host has the same list.
PASSED: Final = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "CODEX_CA_CERTIFICATE"),
        *("RUNNER_TRACKING_ID", "JENKINS_NODE_COOKIE", "VSTS_PROCESS_LOOKUP_ID"),
    )
)

# Further variables for git, its ssh and its credential helpers: places of files and sockets, never secrets.
_OF_GIT = frozenset(
    (
        *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
        *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_CONNECTION", "DISPLAY"),
        *("GNUPGHOME", "GPG_TTY", "KRB5CCNAME", "KRB5_CONFIG", "DBUS_SESSION_BUS_ADDRESS", "CURL_CA_BUNDLE"),
        *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
        *("GH_HOST", "GH_CONFIG_DIR", "GLAB_CONFIG_DIR", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS"),
    )
)

_CREDENTIAL_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "PRIVATE", "API_KEY", "ACCESS_KEY")


def passed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of codex and its supervisor."""
    return {key: value for key, value in environ.items() if key in PASSED or key.startswith("LC_")}


def for_git(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of git, and of the runner's own scripts that may call it."""
    more = {
        key: value
        for key, value in environ.items()
        if key in _OF_GIT or (key.startswith("GIT_") and not names_a_credential(key))
    }
    return {**passed(environ), **more}


def names_a_credential(name: str) -> bool:
    """Whether a variable's name suggests a credential, or is one of the runner's own settings."""
    upper = name.upper()
    return upper.startswith(("VAULT_", "BAO_", "CODEX_RUNNER_")) or any(word in upper for word in _CREDENTIAL_WORDS)

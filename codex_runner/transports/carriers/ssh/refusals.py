"""ssh's permanent failures, by ssh's own words: trying again does not help. Each has a remedy."""

from __future__ import annotations

import re

_HOST_KEY = "If that is the host's own fingerprint, add it: `{ssh} -o StrictHostKeyChecking=accept-new {alias} true`."

HOST_KEY = "Host key verification failed"
"""ssh's message for a host whose key it does not know. The message does not always show the key."""

_REFUSALS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "Another machine may be in between. If the host was reinstalled, run `ssh-keygen -R {name}`.",
    ),
    (HOST_KEY, _HOST_KEY),
    (r"Permission denied", "Check the user, the key, and the agent: `{ssh} -v {alias} true`."),
    (r"Too many authentication failures", "Set `IdentitiesOnly yes` and one `IdentityFile` for this host."),
    (
        r"Could not resolve hostname \S+: (?!Temporary)",
        "Check `HostName` in the OpenSSH configuration: `codex-runner hosts` lists the aliases.",
    ),
    (
        r"Can't open user config file",
        "Correct `ssh_config` at the top of the configuration, or make that file readable for this user.",
    ),
    (
        r"Bad configuration option|terminating, \d+ bad|Bad owner or permissions",
        "Correct the OpenSSH configuration: `{ssh} -G {alias}` reads it.",
    ),
)


def remedy(complaint: str, *, ssh: str, alias: str) -> str | None:
    """Return what to do about a refusal. Returns None if trying again may help.

    `ssh` is the command line that reaches the host `alias`, without the alias.
    """
    text = next((text for pattern, text in _REFUSALS if re.search(pattern, complaint)), None)
    if text is None:
        return None
    name = next(iter(re.findall(r"host key for (\S+) has changed", complaint)), alias)
    return text.format(ssh=ssh, alias=alias, name=name)

"""A repository at a forge, and the environment in which git reaches it.

git gets no setting, hook, attribute or credential but those that are written here. Its token comes through a pipe, from
which git's credential helper reads it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError, CredentialError
from codex_runner.domain.surroundings import for_git
from codex_runner.shell.script import shell_script
from codex_runner.text.clean import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codex_runner.domain.delivery import ForgeCredential

_HTTP = frozenset({"http", "https"})
_SCHEMES = frozenset({*_HTTP, "ssh", "file"})
_SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]*\w:(?!//|:).+")

# git asks for the token once a process; git-lfs starts further ones.
_ANSWERS = 8
_PIPE_HOLDS = 16384  # bytes, on every system

_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "push.gpgSign": "false",
    "credential.helper": "",
    "http.followRedirects": "false",  # a redirect could lead the push into another repository
    "http.lowSpeedLimit": "1",  # a hook of the forge may take minutes, in which git hears some bytes
    "http.lowSpeedTime": "300",
    "protocol.allow": "never",
    **{f"protocol.{scheme}.allow": "always" for scheme in sorted(_SCHEMES)},
}

# Places of a user's settings for git: they do not count here.
_NOT_PASSED = frozenset({"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "SSH_ASKPASS", "DISPLAY", "TMPDIR"})


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository's address for git, and the credential for it. `url` may be a path on this machine.

    `ca_file` holds the certificates to trust, "" for those of the system. `ssh` is the command for an address of SSH,
    which finds its own keys. Raises ConfigurationError if the address cannot be used.
    """

    url: str
    credential: ForgeCredential | None = None
    ca_file: str = ""
    ssh: tuple[str, ...] = ("ssh",)

    def __post_init__(self) -> None:
        """Check the address: git would execute some, and others hold a password."""
        problem = ""
        if not self.url.isprintable() or self.url.startswith("-"):
            problem = "it has characters that no address has"
        elif "://" in self.url:
            problem = _problem_of(self.url)
        elif not self.url.startswith("/") and not _SCP.fullmatch(self.url):
            problem = "it is no URL, no user@host:path and no absolute path"
        if problem:
            # A malformed address may have its password anywhere.
            name = "" if set("@?#") & set(self.url) else f" {self.shown}"
            raise ConfigurationError(
                f"The delivery's repository{name} cannot be used: {problem}.",
                remedy="Write it as https://HOST/OWNER/NAME.git, or as ssh://git@HOST/OWNER/NAME.git.",
            )

    @property
    def shown(self) -> str:
        """The address for messages, without a user or password."""
        scheme, mark, rest = self.url.partition("://")
        if mark:
            place, slash, path = rest.partition("/")
            return escape_unprintable(f"{scheme}://{place.rpartition('@')[2]}{slash}{path}")
        return escape_unprintable(self.url)

    @property
    def uses_http(self) -> bool:
        """Whether git sends its credential in a header."""
        return self.url.partition("://")[0].lower() in _HTTP

    @property
    def uses_ssh(self) -> bool:
        """Whether ssh finds the credential."""
        return self.url.lower().startswith("ssh://") or not (self.url.startswith("/") or "://" in self.url)

    def environment(self, environ: Mapping[str, str], folder: str) -> dict[str, str]:
        """Return the environment of git in the bare repository `folder`. It has no secret."""
        kept = {
            key: value
            for key, value in for_git(environ).items()
            if not key.startswith("GIT_") and key not in _NOT_PASSED
        }
        if not self.uses_ssh:  # curl reads ~/.netrc
            kept["HOME"] = folder
        fixed = {
            "GIT_DIR": folder,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_SSH_COMMAND": f"{shlex.join(self.ssh)} -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=20",
            "GIT_SSH_VARIANT": "ssh",
            "LC_ALL": "C",
            "TMPDIR": folder,
        }
        return {**kept, **fixed, **_as_environment(self._settings())}

    def _settings(self) -> dict[str, str]:
        settings = {**_SETTINGS, "remote.origin.url": self.url}
        if self.ca_file:
            settings["http.sslCAInfo"] = self.ca_file
        if self.credential is not None and self.uses_http:
            parts = urlsplit(self.url)
            origin = f"{parts.scheme}://{parts.netloc}"  # no other server is ever told the token
            settings[f"credential.{origin}.username"] = self.credential.user
            settings[f"credential.{origin}.helper"] = (
                f"!{shell_script('codex_runner.delivery', 'credential.sh').strip()}"
            )
        return settings

    @contextlib.contextmanager
    def answers(self, *, needed: bool) -> Iterator[tuple[tuple[int, ...], dict[str, str]]]:
        """Open the pipe with the token. Yields descriptors for git to inherit, and variables that name them."""
        if not needed or self.credential is None or not self.uses_http:
            yield (), {}
            return
        token = self.credential.secret.reveal()
        answer = f"password={token}\n".encode()
        if not token or not token.isprintable() or len(answer) > _PIPE_HOLDS:
            raise CredentialError(
                f"The delivery's credential {self.credential.secret} is no token: it is empty, too long, or has a line "
                "break."
            )
        reader, writer = os.pipe()
        try:
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(answer * min(_ANSWERS, _PIPE_HOLDS // len(answer)))
            yield (reader,), {"ANSWER_PIPE": str(reader), "ANSWER_BYTES": str(len(answer))}
        finally:
            os.close(reader)


def _problem_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, password, _ = parts.hostname, parts.password, parts.port
    except ValueError:
        return "it is malformed"
    if parts.scheme not in _SCHEMES:
        return f"{parts.scheme}:// is none of {', '.join(sorted(_SCHEMES))}"
    if password is not None or (parts.username is not None and parts.scheme in _HTTP):
        return "it has a user or a password in it, which belongs into the delivery's `credential`"
    if (parts.query or parts.fragment) and parts.scheme in _HTTP:
        return "it has a query, which git does not send as it is, and in which some servers take a token"
    if not host and parts.scheme != "file":
        return "it has no host"
    return ""


def _as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables from which git reads these settings."""
    said = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        said |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return said

"""Secrets in `codex.config`: in keys of codex's own, and in the variables and arguments of programs."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from codex_runner.domain.secret import Secret
from codex_runner.redaction import secret_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.job import CodexSettings

PREFIX: Final = "codex.config."
"""The prefix of these secrets' names; the path of the key follows."""

# Tables in which each string may be a secret: variables of MCP servers and of the agent's commands, headers of MCP
# servers, providers and collectors of telemetry, queries.
_TABLES = frozenset(("env", "http_headers", "headers", "query_params", "set"))
# Keys that hold names of variables, not their values.
_NAMES = re.compile(r"env_http_headers|env_vars|env_key(?:_instructions)?|.*_env_var")
# `experimental_bearer_token`, `client_secret`. codex's `cli_auth_credentials_store` names a place, no secret.
_KEYS = re.compile(r"(?:.*[_-])?(?:token|secret|password|passphrase|credential|api[_-]?key)", re.IGNORECASE)
_FLAG = re.compile(r"--?[\w-]+")
_PATH = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 100  # characters of a name


def secrets_of(codex: CodexSettings) -> list[Secret]:
    """Return the secrets of `codex.env`, and those in `codex.config`, recognized by their keys or their shape."""
    reader = _Reader()
    reader.shown(codex.config, ())
    return [*codex.environment.values(), *reader.secrets]


def without_secrets(codex: CodexSettings) -> CodexSettings:
    """Return the settings without secrets: no `codex.env`, and masks in `codex.config`."""
    return dataclasses.replace(codex, environment={}, config=_Reader().shown(codex.config, ()))


class _Reader:
    """Reads a configuration once, and collects the secrets in it."""

    def __init__(self) -> None:
        self.secrets: list[Secret] = []
        self._named: dict[str, int] = {}

    def shown(self, node: Any, path: tuple[str, ...], *, told: bool = False) -> Any:
        """Return `node` with masks. `told`: it is in a table whose strings may all be secrets."""
        if isinstance(node, str):
            return self._text(node, path, told=told)
        if isinstance(node, list | tuple):
            return self._list(node, path, told=told)
        if hasattr(node, "items"):
            return self._table(node, path, told=told)
        return node

    def _table(self, node: Mapping[str, Any], path: tuple[str, ...], *, told: bool) -> dict[str, Any]:
        return {
            key: below
            if not told and _NAMES.fullmatch(key)
            else self.shown(below, (*path, key), told=told or _is_table(path, key))
            for key, below in node.items()
        }

    def _list(self, node: list[Any] | tuple[Any, ...], path: tuple[str, ...], *, told: bool) -> list[Any]:
        """Read arguments: `--token=VALUE`, or `--token` and then the value."""
        out: list[Any] = []
        for each in node:
            flag = out[-1] if out and isinstance(out[-1], str) and _FLAG.fullmatch(out[-1]) else None
            if flag and isinstance(each, str) and _KEYS.fullmatch(flag) and not each.startswith("-"):
                out.append(str(self._secret((*path, flag), each)))
            elif not told and isinstance(each, str):
                out.append(self._parts(each, path, secret_parts.said(each)))
            else:
                out.append(self.shown(each, path, told=told))
        return out

    def _text(self, text: str, path: tuple[str, ...], *, told: bool) -> str:
        key = path[-1]
        closed = secret_parts.is_closed(key) if told else bool(_KEYS.fullmatch(key))
        if (
            (told or closed)
            and not secret_parts.is_open(key, text)
            and (closed or not secret_parts.PLAIN.fullmatch(text))
        ):
            least = secret_parts.SHORTEST if closed else secret_parts.LEAF
            if len(text.strip()) >= least:
                return str(self._secret(path, text))
        return self._parts(text, path, secret_parts.passwords(text))

    def _parts(self, text: str, path: tuple[str, ...], found: set[str]) -> str:
        """Mask what is secret within a text, such as the password of an address."""
        for part in sorted(found, key=len, reverse=True):
            if len(part) >= secret_parts.SHORTEST and part in text:
                text = text.replace(part, str(self._secret(path, part)))
        return text

    def _secret(self, path: tuple[str, ...], value: str) -> Secret:
        name = _PATH.sub("_", PREFIX + ".".join(path))[:_LONGEST]
        again = self._named[name] = self._named.get(name, 0) + 1
        secret = Secret(name if again == 1 else f"{name}.{again}", value)
        self.secrets.append(secret)
        return secret


def _is_table(path: tuple[str, ...], key: str) -> bool:
    if key == "set":
        return path[-1:] == ("shell_environment_policy",)
    return key in _TABLES

"""The source of a CI system's identity token: values, with which `vault.oidc` gets the token."""

from __future__ import annotations

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class IdentityVariable:
    """A variable that holds the token."""

    name: str


@dataclass(frozen=True, slots=True)
class IdentityEndpoint:
    """An HTTPS endpoint for tokens: GET `url` with `?audience=`, and the bearer token in the variable `bearer`.

    `title` names the system in messages. The remedies are for a bearer token that is missing, an endpoint that does
    not answer, and one that refuses.
    """

    title: str
    url: str
    bearer: str
    if_missing: str
    if_silent: str
    if_refused: str

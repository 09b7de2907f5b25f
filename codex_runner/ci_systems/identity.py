"""Where a CI system's identity token comes from: values, which `vault.oidc` reads or asks."""

from __future__ import annotations

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class IdentityVariable:
    """The token is in a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class IdentityEndpoint:
    """The token is asked for over HTTPS: GET `url` with `?audience=`, and the bearer token in the variable `bearer`.

    `title` names the system in messages. The remedies are for a bearer token that is missing, an endpoint that does
    not answer, and one that refuses.
    """

    title: str
    url: str
    bearer: str
    if_missing: str
    if_silent: str
    if_refused: str

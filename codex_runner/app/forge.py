"""The forge of a job: which one it is, its repository, and the addresses of its API and for git."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codex_runner.app.repository_address import host_of, path_of
from codex_runner.ci_systems import Pipeline
from codex_runner.dataclass import dataclass
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.delivery_spec import DeliverySpec

_PUBLIC = {"github.com": ForgeKind.GITHUB, "gitlab.com": ForgeKind.GITLAB}
_BELOW = {ForgeKind.GITHUB: "/api/v3", ForgeKind.GITLAB: "/api/v4"}


@dataclass(frozen=True, slots=True)
class ForgePlace:
    """Where the changes of a job go. `repository` is `owner/name`, or a plain remote's address. `url` is git's.

    `api` is "" for a plain remote.
    """

    kind: ForgeKind
    repository: str
    url: str
    api: str = ""


def place_of(job: str, spec: DeliverySpec, origin: str, environ: Mapping[str, str]) -> ForgePlace:
    """Return the place that `delivery` names. What it leaves out comes from the pipeline, then from the tree's origin.

    Raises ConfigurationError if that is not enough, or contradicts itself.
    """
    key = f"jobs.{job}.delivery"
    ours, ours_api = Pipeline(environ).forge()
    host = host_of(origin)
    kind = spec.target or _kind(host, ours, ours_api)
    if kind is None:
        raise ConfigurationError(
            f"{key}.target: missing, and {_silent(origin, host)}.",
            remedy='Set `target` to "github" or "gitlab", with `repository` and `api`; or to "git", with `repository`.',
        )
    if kind is ForgeKind.GIT:
        if not (spec.repository or origin):
            raise ConfigurationError(
                f"{key}.repository: missing, and the tree has no remote `origin`.",
                remedy="Set it to the address or the path of the repository that gets the branch.",
            )
        url = spec.repository or origin
        return ForgePlace(kind, url, url)
    if spec.credential is None:
        raise ConfigurationError(
            f"{key}.credential: missing: the runner needs a token to open a pull request at {kind.value}.",
            remedy="Name the token's place in Vault, a variable or a file.",
        )
    repository = spec.repository or path_of(origin) or Pipeline(environ).repository()
    if not repository:
        raise ConfigurationError(
            f"{key}.repository: missing, and neither the tree's remote nor the CI system tells it.",
            remedy="Set it to `owner/name`.",
        )
    api = (spec.api or (ours_api if ours == kind.value else "") or _api(kind, host)).rstrip("/")
    return ForgePlace(kind, repository, f"{server_of(api, kind)}/{repository}.git", api)


def _silent(origin: str, host: str) -> str:
    """Return why a tree's remote does not tell the forge."""
    if not origin:
        return "the tree has no remote `origin` that would tell the forge"
    return f"the tree's remote {host} does not tell the forge" if host else "the tree's remote is a folder, no forge"


def server_of(api: str, kind: ForgeKind) -> str:
    """Return the address at which a forge with this API serves git."""
    if api.endswith(_BELOW[kind]):
        return api.removesuffix(_BELOW[kind])
    parts = urlsplit(api)
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}"


def _kind(host: str, ours: str, ours_api: str) -> ForgeKind | None:
    if host in _PUBLIC:
        return _PUBLIC[host]
    if ours and (not host or host == (urlsplit(ours_api).hostname or "")):
        return ForgeKind(ours)
    return None


def _api(kind: ForgeKind, host: str) -> str:
    if not host:
        host = next(name for name, each in _PUBLIC.items() if each is kind)
    return f"https://api.{host}" if host == "github.com" else f"https://{host}{_BELOW[kind]}"

"""Vault's setup for one workflow: a mount, three policies, and a role that only this workflow can log in with.

`plan` is pure and returns the steps. `rendering.render` prints them for a shell, as policies, or for Terraform.
`provision.apply` applies them through the API.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

from codex_runner.ci_systems import github, gitlab
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


DEFAULT_MOUNT: Final = "codex"

# Neither pattern allows characters with a meaning in Vault's policies and claims (`*`, `+`, `{{`, quotes).
_SAFE_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
# No comma, and no space at an end: Terraform's provider would split the value, or change it.
_SAFE_TEXT = re.compile(r"[A-Za-z0-9_./@:-]+(?: +[A-Za-z0-9_./@:-]+)*")

_EXACT: Final = "Give one exact value, such as owner/repository/name for a path. To give several, repeat the option."
_REVOKE: Final = """\
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
"""
_EVENTS: Final = ("schedule", "push", "workflow_dispatch")


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """Which workflow may read which path, and how it logs in. Times are in seconds.

    `workflow` is the path of its token, such as acme/app/release-notes. GitHub needs `repository` with its number
    (`repository_id`), the workflow's file, its `ref`, the `events` that may start it, and its `environment` if it has
    one. GitLab needs `gitlab_project` (its number, or its path). `approle_cidrs` make an AppRole for these addresses:
    then neither is needed.

    `delivery` is the path of the delivery's own token, on the same mount, if it has one.

    Instead of one `ref`: all tags that begin with `tag_prefix`, or `pull_requests` into that ref. With `lister`, the
    workflow may list all tokens of the mount instead of reading its own.
    """

    workflow: str
    delivery: str | None = None
    repository: str | None = None
    repository_id: str | None = None
    workflow_file: str | None = None
    ref: str = "refs/heads/main"
    events: tuple[str, ...] | None = None
    tag_prefix: str | None = None
    pull_requests: bool = False
    lister: bool = False
    environment: str | None = None
    gitlab_project: str | None = None
    approle_cidrs: tuple[str, ...] = ()
    issuer: str | None = None
    mount: str = DEFAULT_MOUNT
    jwt_mount: str = "jwt"
    approle_mount: str = "approle"
    audience: str = "codex-runner"
    token_ttl: int = 300
    secret_id_ttl: int = 30 * 86400

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the workflow's tokens."""
        return (self.workflow,) if self.delivery is None else (self.workflow, self.delivery)

    @property
    def name(self) -> str:
        """The unique, readable name of the role and, with a suffix, of the policies.

        The same workflow on another mount gets another name: its policies read another path.
        """
        whole = self.workflow if self.mount == DEFAULT_MOUNT else f"{self.mount} {self.workflow}"
        readable = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
        return f"codex-{readable}-{_digest(whole)}"

    @property
    def lister_name(self) -> str:
        """The name of the policy that lists a mount's tokens, in lower case: Vault's policies know no capitals."""
        if re.fullmatch(r"[a-z0-9_.-]+", self.mount):
            return f"codex-{self.mount}-lister"
        readable = re.sub(r"[^a-z0-9_.-]+", "-", self.mount.lower())
        return f"codex-{readable}-{_digest(self.mount)}-lister"

    @property
    def role_name(self) -> str:
        """The name of the role. A lister's differs from the role with which the same workflow reads its token."""
        return f"{self.name}-lister" if self.lister else self.name


@dataclass(frozen=True, slots=True)
class KvMount:
    """A KV v2 mount that requires check-and-set."""

    path: str


@dataclass(frozen=True, slots=True)
class Policy:
    """An ACL policy in Vault's HCL."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class AuthMount:
    """An auth method's mount. `config` is written if the mount has none yet."""

    path: str
    type: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """A role of an auth method."""

    mount: str
    type: str
    name: str
    body: Mapping[str, Any]


Step = KvMount | Policy | AuthMount | Role


def plan(request: SetupRequest) -> tuple[Step, ...]:
    """Return the steps in the order to apply them. Raises UsageError if the request is incomplete or unsafe."""
    require_safe(request)
    name = request.name
    steps: list[Step] = [KvMount(request.mount)]
    if not request.lister:
        steps += [
            Policy(name, runner_policy(request.mount, *request.paths)),
            Policy(f"{name}-rotator", rotator_policy(request.mount, *request.paths)),
        ]
    steps.append(Policy(request.lister_name, lister_policy(request.mount)))
    if request.gitlab_project:
        issuer = request.issuer or gitlab.ISSUER
        steps += _jwt_steps(request, issuer, _gitlab_claims(request), gitlab.USER_CLAIM, gitlab.MAPPED_CLAIMS)
    elif request.repository:
        issuer = request.issuer or github.ISSUER
        steps += _jwt_steps(request, issuer, _github_claims(request), github.USER_CLAIM, github.MAPPED_CLAIMS)
    if request.approle_cidrs:
        steps += _approle_steps(request)
    return tuple(steps)


def runner_policy(mount: str, *paths: str) -> str:
    """Policy: read the newest version of each path, and revoke the own login. Nothing else, not even lookup-self."""
    reads = "\n".join(
        f"""\
path "{mount}/data/{path}" {{
  capabilities = ["read"]
  denied_parameters = {{
    "version" = []
  }}
}}
"""
        for path in paths
    )
    return f"{reads}\n{_REVOKE}"


def rotator_policy(mount: str, *paths: str) -> str:
    """Policy: store and destroy each path's versions, without reading them (`subkeys` shows names without values)."""
    writes = "\n".join(
        f"""\
path "{mount}/data/{path}" {{
  capabilities = ["create", "update"]
}}

path "{mount}/metadata/{path}" {{
  capabilities = ["create", "read", "update", "patch"]
}}

path "{mount}/subkeys/{path}" {{
  capabilities = ["read"]
}}

path "{mount}/destroy/{path}" {{
  capabilities = ["update"]
}}
"""
        for path in paths
    )
    return f"{writes}\n{_REVOKE}"


def lister_policy(mount: str) -> str:
    """Policy: list all tokens of a mount with owner, age and expiry, without reading any."""
    return f"""\
path "{mount}/metadata/*" {{
  capabilities = ["list", "read"]
}}

{_REVOKE}"""


def _github_claims(request: SetupRequest) -> dict[str, Any]:
    if not request.repository_id:
        raise UsageError(
            f"The number of {request.repository} is missing: a name can be taken over after a rename, a number cannot.",
            remedy="Give `--repository-id`: `gh api repos/OWNER/NAME --jq .id` shows it.",
        )
    last = request.workflow.rsplit("/", maxsplit=1)[-1]
    file = request.workflow_file or f".github/workflows/{last}.yml"
    ref, bound = request.ref, {}
    if request.tag_prefix is not None:
        ref, bound = f"refs/tags/{request.tag_prefix}*", {"ref_type": "tag"}
    elif request.pull_requests:
        ref, bound = "refs/pull/*/merge", {"base_ref": request.ref.removeprefix("refs/heads/")}
    claims: dict[str, Any] = {
        "repository_id": request.repository_id,
        "workflow_ref": f"{request.repository}/{file}@{ref}",
        "event_name": list(_events(request)),
        **bound,
    }
    if request.environment:
        claims["environment"] = request.environment
    return claims


def _gitlab_claims(request: SetupRequest) -> dict[str, Any]:
    project = str(request.gitlab_project)
    if request.pull_requests:
        raise UsageError(
            "A merge request's pipeline on GitLab runs on a branch that is not protected.",
            remedy="Run the job on a protected branch, and leave `--pull-requests` out.",
        )
    branch = request.ref.removeprefix("refs/heads/")
    claims: dict[str, Any] = {
        "project_id" if project.isdecimal() else "project_path": project,
        "ref": branch if request.tag_prefix is None else f"{request.tag_prefix}*",
        "ref_type": "branch" if request.tag_prefix is None else "tag",
        "ref_protected": "true",
        "pipeline_source": [{"workflow_dispatch": "web"}.get(event, event) for event in _events(request)],
    }
    if request.environment:
        claims["environment"] = request.environment
    return claims


def _events(request: SetupRequest) -> tuple[str, ...]:
    """Return the events that may start the workflow: the given ones, or the default for its kind of ref."""
    if request.events is not None:
        return request.events
    return ("pull_request",) if request.pull_requests else ("push",) if request.tag_prefix is not None else _EVENTS


def _jwt_steps(
    request: SetupRequest, issuer: str, claims: Mapping[str, Any], user_claim: str, mapped: Sequence[str]
) -> tuple[Step, ...]:
    body = {
        "role_type": "jwt",
        "user_claim": user_claim,
        "bound_audiences": [request.audience],
        # Exact, unless for all tags or pull requests: then one claim has a star, after the file and `@refs/`.
        "bound_claims_type": "glob" if request.tag_prefix is not None or request.pull_requests else "string",
        "bound_claims": dict(claims),
        "claim_mappings": {name: name for name in mapped},
        **_token_settings(request),
    }
    config = {"oidc_discovery_url": issuer, "bound_issuer": issuer}
    return AuthMount(request.jwt_mount, "jwt", config), Role(request.jwt_mount, "jwt", request.role_name, body)


def _approle_steps(request: SetupRequest) -> tuple[Step, ...]:
    body = {
        "bind_secret_id": True,
        "secret_id_ttl": request.secret_id_ttl,
        "secret_id_bound_cidrs": list(request.approle_cidrs),
        "token_bound_cidrs": list(request.approle_cidrs),
        **_token_settings(request),
    }
    return AuthMount(request.approle_mount, "approle", {}), Role(
        request.approle_mount, "approle", request.role_name, body
    )


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _token_settings(request: SetupRequest) -> dict[str, Any]:
    return {
        "token_policies": [request.lister_name if request.lister else request.name],
        "token_no_default_policy": True,
        "token_type": "service",
        "token_ttl": request.token_ttl,
        "token_max_ttl": request.token_ttl,
    }


def _why_not(value: str, safe: re.Pattern[str]) -> str:
    """Return why a value is not safe."""
    if not value:
        return "it is empty"
    if safe is _SAFE_PATH and not {"", ".."}.isdisjoint(value.split("/")):
        return "it has `..`, or a slash at its beginning, at its end, or beside another one"
    return "it has characters that have a meaning in Vault's policies or claims"


def require_safe(request: SetupRequest) -> None:
    """Raise UsageError if a value could mean more to Vault than itself, or if no login is selected."""
    if not (request.repository or request.gitlab_project or request.approle_cidrs):
        raise UsageError("No login selected.", remedy="Give --repo, --gitlab-project, or --approle with its addresses.")
    for what, value, safe in (
        ("workflow", request.workflow, _SAFE_PATH),
        ("delivery", request.delivery, _SAFE_PATH),
        ("mount", request.mount, _SAFE_PATH),
        ("jwt-mount", request.jwt_mount, _SAFE_PATH),
        ("approle-mount", request.approle_mount, _SAFE_PATH),
        ("repo", request.repository, _SAFE_PATH),
        ("workflow-file", request.workflow_file, _SAFE_PATH),
        ("ref", request.ref, _SAFE_TEXT),
        ("tag-prefix", request.tag_prefix, _SAFE_PATH),
        ("environment", request.environment, _SAFE_TEXT),
        ("gitlab-project", request.gitlab_project, _SAFE_PATH),
        ("issuer", request.issuer, _SAFE_TEXT),
        ("audience", request.audience, _SAFE_TEXT),
        *(("event", event, _SAFE_TEXT) for event in request.events or ()),
    ):
        if value is not None and (not safe.fullmatch(value) or ".." in value.split("/")):
            raise UsageError(f"`--{what}` {value!r} cannot be used: {_why_not(value, safe)}.", remedy=_EXACT)
    for cidr in request.approle_cidrs:
        _require_cidr(cidr)
    _require_one_meaning(request)


def _require_cidr(cidr: str) -> None:
    try:
        ipaddress.ip_network(cidr, strict=False)
    except ValueError as error:
        remedy = "Write one range as 192.0.2.0/24; repeat `--approle` for several."
        raise UsageError(f"`--approle` {cidr!r} is not a range of addresses: {error}.", remedy=remedy) from None


def _require_one_meaning(request: SetupRequest) -> None:
    """Raise UsageError if the request contradicts itself, or would let a stranger log in."""
    if request.delivery is not None and request.lister:
        raise UsageError("A lister reads no token, so `--delivery` has no effect.", remedy="Make a role for each.")
    if request.delivery == request.workflow:
        raise UsageError(
            f"The delivery's token cannot be at {request.workflow}, the path of the agent's.",
            remedy="Give a path of its own, such as OWNER/REPO/forge.",
        )
    if request.tag_prefix is not None and request.pull_requests:
        raise UsageError("`--tag-prefix` and `--pull-requests` exclude each other.", remedy="Make a role for each.")
    if request.pull_requests and not request.environment:
        raise UsageError(
            "A user who may push a branch could change the workflow in the same pull request, and get the token.",
            remedy="Give `--environment` too, with one that requires a reviewer, and name it in the workflow's job.",
        )
    events = set(request.events or ())
    if request.repository and (events - {"pull_request"} if request.pull_requests else "pull_request" in events):
        raise UsageError(
            "A pull request runs on a ref of its own, which only `--pull-requests` allows.",
            remedy="Give `--pull-requests` for pull requests alone, and make another role for other events.",
        )
    if "pull_request_target" in events:
        raise UsageError(
            "The event pull_request_target runs a stranger's proposal with this repository's rights.",
            remedy="Leave it out, and run the job on schedule, push or workflow_dispatch.",
        )

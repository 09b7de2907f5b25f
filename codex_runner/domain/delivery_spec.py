"""What a job says of its delivery, and of the gate before its agent. Each field is a key. Durations are in seconds."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - event.build() reads the hints at run time
from dataclasses import field as setting  # `field` is also a key: that of a secret in Vault
from enum import StrEnum
from types import MappingProxyType

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import CredentialKind, CredentialSource, CredentialSpec
from codex_runner.domain.delivery import DeliveryState, ForgeKind, IfUnchanged, OnHeld, Reopen
from codex_runner.domain.key import NO_KEY, SECRET_FILE, SECRET_VARIABLE, SHOWN, Form, key

TOKEN = "FORGE_TOKEN"  # noqa: S105 - a name, not a token
"""The name of a delivery's token in its mask. No program gets a variable of this name."""


class Signing(StrEnum):
    """Whether the forge makes the commit itself, and signs it."""

    AUTO = "auto"  # if the credential's commits are signed there
    REQUIRED = "required"  # or the delivery fails
    OFF = "off"  # git makes the commit


class IfOpen(StrEnum):
    """What a run does if an earlier run's pull request is still open."""

    GO = "go"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class DeliveryCredential:
    """The place of the token for the forge, and the conditions for its use, as CredentialSpec has them.

    `user` is the name that git over HTTPS sends with the token. None means the forge's own.
    """

    source: CredentialSource = setting(default=CredentialSource.VAULT, metadata=SHOWN)
    mount: str = setting(default="codex", metadata=SHOWN)
    path: str = setting(default="", metadata=SHOWN)
    field: str = "token"
    variable: str | None = setting(default=None, metadata=SECRET_VARIABLE)
    file: str | None = setting(default=None, metadata=SECRET_FILE)
    user: str | None = setting(default=None, metadata=SHOWN)
    workflow: str | None = setting(default=None, metadata=SHOWN)
    min_ttl: float | None = setting(default=None, metadata=SHOWN)
    warn_ttl: float = setting(default=3 * 86400.0, metadata=SHOWN)
    max_age: float | None = setting(default=None, metadata=SHOWN)
    issued_at: str | None = setting(default=None, metadata=key(form=Form.DATE, shown=True))
    expires_at: str | None = setting(default=None, metadata=key(form=Form.DATE, shown=True))
    allow_unexpiring: bool = setting(default=False, metadata=SHOWN)
    allow_batch: bool = setting(default=False, metadata=SHOWN)

    @property
    def spec(self) -> CredentialSpec:
        """The same as a CredentialSpec, for what takes and judges a credential. No codex gets it."""
        return CredentialSpec(
            kind=CredentialKind.API_KEY,
            source=self.source,
            mount=self.mount,
            path=self.path,
            field=self.field,
            variable=self.variable,
            file=self.file,
            env_key=TOKEN,
            workflow=self.workflow,
            min_ttl=self.min_ttl,
            warn_ttl=self.warn_ttl,
            max_age=self.max_age,
            issued_at=self.issued_at,
            expires_at=self.expires_at,
            allow_unexpiring=self.allow_unexpiring,
            allow_batch=self.allow_batch,
        )


@dataclass(frozen=True, slots=True)
class DeliveryText:
    """What stays of the agent's words in titles, bodies and messages. `mentions`: its `@names` stay as they are."""

    mentions: bool = False


@dataclass(frozen=True, slots=True)
class DeliverySpec:
    """The target of a job's changes, and the pull request that they become.

    `target` None means what the repository's address says. `repository` is `owner/name` at a forge, an address or a
    path for a plain remote; None means the remote of the tree. `base` None means the default branch. `branch`, `title`,
    `commit_message` and the body are templates: see `delivery.text`. `body` is the text of `body_file`; None means the
    runner's own. `names` are the job's variables for the templates. `author` is `Name <address>`. `retention` is how
    long the runner keeps the objects of a change.
    """

    target: ForgeKind | None = setting(default=None, metadata=SHOWN)
    repository: str | None = setting(default=None, metadata=key(form=Form.REPOSITORY))
    api: str | None = setting(default=None, metadata=key(form=Form.URL))
    ca_file: str | None = setting(default=None, metadata=key(form=Form.FILE, shown=True))
    proxy: str | None = None
    base: str | None = setting(default=None, metadata=key(form=Form.BRANCH, shown=True))
    branch: str = setting(default="codex/{{WORKFLOW}}", metadata=key(form=Form.BRANCH_TEMPLATE, shown=True))
    title: str = setting(default="{{JOB}}: {{SUMMARY}}", metadata=SHOWN)
    body_file: str | None = setting(default=None, metadata=key(form=Form.FILE, shown=True))
    commit_message: str = setting(default="{{JOB}}: {{SUMMARY}}", metadata=SHOWN)
    draft: bool = setting(default=True, metadata=SHOWN)
    labels: tuple[str, ...] = setting(default=(), metadata=SHOWN)
    reviewers: tuple[str, ...] = setting(default=(), metadata=SHOWN)
    assignees: tuple[str, ...] = setting(default=(), metadata=SHOWN)
    author: str | None = setting(default=None, metadata=key(form=Form.AUTHOR, shown=True))
    signing: Signing = setting(default=Signing.AUTO, metadata=SHOWN)
    if_unchanged: IfUnchanged = setting(default=IfUnchanged.SKIP, metadata=SHOWN)
    reopen: Reopen = setting(default=Reopen.CHANGED, metadata=SHOWN)
    on_held: OnHeld = setting(default=OnHeld.WARN, metadata=SHOWN)
    retention: float = setting(default=604_800.0, metadata=SHOWN)
    text: DeliveryText = setting(default_factory=DeliveryText)
    credential: DeliveryCredential | None = None
    body: str | None = setting(default=None, metadata=NO_KEY)
    names: Mapping[str, str] = setting(default_factory=lambda: MappingProxyType({}), metadata=NO_KEY)

    def fails(self, state: DeliveryState) -> bool:
        """Whether a delivery that ends so fails a green run: it is held, and the job asks for exit code 13 then."""
        return state is DeliveryState.HELD and self.on_held is OnHeld.FAIL


@dataclass(frozen=True, slots=True)
class GateSpec:
    """What decides, before the agent and without any cost, whether a run has something to do.

    `unless_changed` are globs from the repository's top. The run is skipped if no file under them has changed on the
    base since the last green run. `command` runs in `sh -c` without the job's secrets: 0 goes on, 78 skips, anything
    else fails the run. `ignored`: this run goes on, whatever the gate would say.
    """

    unless_changed: tuple[str, ...] = setting(default=(), metadata=key(form=Form.RULE))
    if_open: IfOpen = IfOpen.GO
    command: str | None = None
    ignored: bool = setting(default=False, metadata=NO_KEY)

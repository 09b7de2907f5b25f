"""The port: what the runner asks a CI system.

Every method is pure, except that it reads files that the system's variables name. `environ` is the environment of the
runner's own process. If a system lacks a fact, the default here applies: the answer that grants nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from codex_runner.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.identity import IdentityEndpoint, IdentityVariable
    from codex_runner.ci_systems.starter import Starter, StarterRequest
    from codex_runner.engine.proposal import Proposal
    from codex_runner.engine.trust import Trigger


@dataclass(frozen=True, slots=True)
class Origin:
    """Variables that say who asked for a run and why, by the field of the audit log. The first that is set counts."""

    actor: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    repository: tuple[str, ...] = ()
    workflow_ref: tuple[str, ...] = ()
    sha: tuple[str, ...] = ()
    pipeline_run: tuple[str, ...] = ()


class CiSystem:
    """What the runner knows about one system. `name` is used in options and files, `title` in messages."""

    name: ClassVar[str]
    title: ClassVar[str]

    markers: ClassVar[tuple[str, ...]] = ()
    """Variables that its jobs have, with any value but `false`."""
    log_format: ClassVar[str] = ""
    """The value of `--log-format` that its logs understand. Empty if they are plain text."""
    line_prefix: ClassVar[str] = ""
    """The prefix that keeps a line of foreign text in its log from being a command."""
    trusted_events: ClassVar[tuple[str, ...]] = ()
    """Events that only people with rights to the repository can cause with content of their own."""
    origin: ClassVar[Origin] = Origin()
    secret_variables: ClassVar[tuple[str, ...]] = ()
    """Variables of its jobs that hold a secret. Each is in `domain.secret_names.NAMES`, which hides it from codex."""
    tracking_variables: ClassVar[tuple[str, ...]] = ()
    """Variables by which it finds the processes that a job left behind. `domain.surroundings` passes them on."""
    summary_variable: ClassVar[str] = ""
    """The variable that names the file whose Markdown it shows beside the job."""
    identity_claims: ClassVar[tuple[str, ...]] = ()
    """Claims of its identity tokens that Vault's roles are bound to. None of them is a secret."""

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether this process is a step of one of its jobs."""
        return self.may_read(environ)

    def may_read(self, environ: Mapping[str, str]) -> bool:
        """Whether it may read what this process prints, and take a line of that for a command. True if in doubt."""
        return any(environ.get(name) not in {None, "", "false"} for name in self.markers)

    def wants_details(self, environ: Mapping[str, str]) -> bool:  # noqa: ARG002 - nothing is known, here and below
        """Whether a person asked the system for a run with debug logging."""
        return False

    def occasion(self, environ: Mapping[str, str]) -> Trigger | None:  # noqa: ARG002
        """Return what started the pipeline: event, actors, fork. Returns None if it cannot tell: nothing is judged."""
        return None

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:  # noqa: ARG002
        """Return the pull or merge request, and where its base may be. Returns None outside of one."""
        return None

    def repository(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return `<owner>/<repo>`, at GitLab with all groups. Returns "" if it is not known."""
        return ""

    forge: ClassVar[str] = ""
    """The kind of the forge that it belongs to: a value of `delivery.target`."""

    forge_token: ClassVar[str] = ""
    """The variable with the token that the forge gives each job, if it is not a token for the forge's whole API."""

    def forge_api(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return the address of its forge's API. Returns "" if it is not known."""
        return ""

    def link(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return the address of the job's page, unchecked. Returns "" if it is not known."""
        return ""

    def checkout(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return the folder that annotations' paths are relative to. Returns "" if only git can tell."""
        return ""

    def is_disposable(self, environ: Mapping[str, str]) -> bool:  # noqa: ARG002
        """Whether the system throws the machine away after the job."""
        return False

    def identity(self, environ: Mapping[str, str]) -> IdentityVariable | IdentityEndpoint | None:  # noqa: ARG002
        """Return the source of this job's identity token. Returns None if the system has none."""
        return None

    def identity_remedy(self, environ: Mapping[str, str], audience: str) -> str:  # noqa: ARG002
        """Return the remedy that gives the job an identity token. Returns "" if the system cannot."""
        return ""

    has_starter: ClassVar[bool] = False
    """Whether `codex-runner init` supports it. If so, the members below apply."""
    on_this_machine: ClassVar[bool] = False
    """Whether the files are for this machine and folder, not for a repository."""
    movable: ClassVar[tuple[str, ...]] = ()
    """Files that a repository may have already. They are never overwritten."""
    login_method: ClassVar[str] = "approle"
    """How its jobs log in to Vault: `jwt` if they have an identity."""
    secret_id_step: ClassVar[str] = ""
    """For AppRole: the step by which a person keeps the secret id."""
    starter_has_login: ClassVar[bool] = False
    """Whether the files depend on the configured login to Vault."""
    delivery_variable: ClassVar[str] = "DELIVERY_TOKEN"
    """The variable in which a pipeline of its own gets the token of a delivery, for a job that `init` writes."""
    delivery_target: ClassVar[str] = ""
    """The `target` of such a delivery, if the remote's address cannot tell it."""

    def starter(self, request: StarterRequest) -> Starter:
        """Return the files that run a job, and the next steps for a person."""
        raise NotImplementedError

    def setup_login(self, project: str) -> str:  # noqa: ARG002
        """Return the options of `vault setup` that let its jobs log in. `project` is quoted for a shell."""
        return "--approle ADDRESSES"

    def variable_step(self, variable: str) -> str:
        """Return the step by which a person gives the jobs the variable, which holds a secret."""
        raise NotImplementedError

    def delivery_step(self, variable: str) -> str:
        """Return the step by which a person gives the jobs the variable with the token of a delivery."""
        return self.variable_step(variable)

"""The port: what the runner asks a CI system.

Every method is pure but for the files that the system's variables name. `environ` is the environment of the runner's
own process. A fact that a system does not have stays as it is here: the answer that grants nothing.
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
    """Variables that say who asked for a run and why, by the field of the audit log; the first that is set counts."""

    actor: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    repository: tuple[str, ...] = ()
    workflow_ref: tuple[str, ...] = ()
    sha: tuple[str, ...] = ()
    pipeline_run: tuple[str, ...] = ()


class CiSystem:
    """What the runner knows about one system. `name` is the word of options and files, `title` the one for people."""

    name: ClassVar[str]
    title: ClassVar[str]

    markers: ClassVar[tuple[str, ...]] = ()
    """Variables that are set in its jobs, to anything but `false`."""
    log_format: ClassVar[str] = ""
    """The value of `--log-format` that its logs understand; empty if they are plain text."""
    line_prefix: ClassVar[str] = ""
    """What must precede a line of foreign text in its log, so that the line is no command."""
    trusted_events: ClassVar[tuple[str, ...]] = ()
    """Events that nobody without rights to the repository can cause with content of their own."""
    origin: ClassVar[Origin] = Origin()
    secret_variables: ClassVar[tuple[str, ...]] = ()
    """Variables of its jobs that hold a secret. Each is in `domain.secret_names.NAMES`, which hides it from codex."""
    tracking_variables: ClassVar[tuple[str, ...]] = ()
    """Variables by which it finds the processes that a job left behind. `domain.surroundings` passes them on."""
    summary_variable: ClassVar[str] = ""
    """The variable that names the file whose Markdown it shows beside the job."""
    identity_claims: ClassVar[tuple[str, ...]] = ()
    """Claims of its identity tokens that Vault's roles are bound to. None of them is secret."""

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """Whether this process is a step of one of its jobs."""
        return self.may_read(environ)

    def may_read(self, environ: Mapping[str, str]) -> bool:
        """Whether it may read what this process prints, and take a line of that for a command. Rather yes than no."""
        return any(environ.get(name) not in {None, "", "false"} for name in self.markers)

    def wants_details(self, environ: Mapping[str, str]) -> bool:  # noqa: ARG002 - nothing is known, here and below
        """Whether a person asked the system for a run with debug logging."""
        return False

    def occasion(self, environ: Mapping[str, str]) -> Trigger | None:  # noqa: ARG002
        """Return what started the pipeline: event, actors, fork. None if it cannot say, and nothing is judged."""
        return None

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:  # noqa: ARG002
        """Return the pull or merge request that the pipeline works on, and where its base may be. None outside any."""
        return None

    def repository(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return `<owner>/<repo>`, at GitLab with all groups; empty if it is not known."""
        return ""

    def link(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return the address of the job's page; empty if it is not known. It is not judged here."""
        return ""

    def checkout(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return the folder that annotations' paths are relative to; empty if only git can tell."""
        return ""

    def is_disposable(self, environ: Mapping[str, str]) -> bool:  # noqa: ARG002
        """Whether the machine is thrown away after the job."""
        return False

    def identity(self, environ: Mapping[str, str]) -> IdentityVariable | IdentityEndpoint | None:  # noqa: ARG002
        """Return where this job's identity token comes from, None if the system offers none."""
        return None

    def identity_remedy(self, environ: Mapping[str, str], audience: str) -> str:  # noqa: ARG002
        """Return what gives the job an identity token; empty if the system cannot."""
        return ""

    has_starter: ClassVar[bool] = False
    """Whether `codex-runner init` writes what it needs to run a job; then all that follows counts."""
    on_this_machine: ClassVar[bool] = False
    """Whether the files are for this machine and folder, not for a repository."""
    movable: ClassVar[tuple[str, ...]] = ()
    """Files that a repository may have its own of, which are then left alone."""
    login_method: ClassVar[str] = "approle"
    """How its jobs log in to Vault: `jwt` if they have an identity."""
    secret_id_step: ClassVar[str] = ""
    """For AppRole: where a person keeps the secret id."""
    starter_has_login: ClassVar[bool] = False
    """Whether the files depend on how Vault's login is configured."""

    def starter(self, request: StarterRequest) -> Starter:
        """Return the files that run a job, and what a person has to do then."""
        raise NotImplementedError

    def setup_login(self, project: str) -> str:  # noqa: ARG002
        """Return the options of `vault setup` that let its jobs log in. `project` is quoted for a shell."""
        return "--approle ADDRESSES"

    def variable_step(self, variable: str) -> str:
        """Return how a person hands the variable, which holds a secret, to the jobs."""
        raise NotImplementedError

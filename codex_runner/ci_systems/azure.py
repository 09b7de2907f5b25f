"""Azure Pipelines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from codex_runner.ci_systems.starter import Starter, commit_step, for_yaml
from codex_runner.ci_systems.system import CiSystem, Origin
from codex_runner.domain.secret_names import AZURE_TOKEN
from codex_runner.engine.proposal import Proposal, at_merge_parent, at_tip
from codex_runner.engine.trust import Trigger, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.starter import StarterRequest

_FILE = "azure-pipelines.yml"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PULL_REQUEST = "PullRequest"


class Azure(CiSystem):
    """Facts of the predefined variables, as Azure DevOps documents them, and of the agent's source.

    The agent obeys `##vso[...]` anywhere in a line. What the runner shows is cleaned of it.
    """

    name = "azure"
    title = "Azure Pipelines"
    markers = ("TF_BUILD",)
    log_format = "azure"
    # Not ResourceTrigger and BuildCompletion: what they follow may have been a fork's.
    trusted_events = ("BatchedCI", "IndividualCI", "Manual", _PULL_REQUEST, "Schedule")
    origin = Origin(
        actor=("BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR"),
        trigger=("BUILD_REASON",),
        repository=("BUILD_REPOSITORY_URI",),
        workflow_ref=("BUILD_DEFINITIONNAME",),
        sha=("BUILD_SOURCEVERSION",),
        pipeline_run=("BUILD_BUILDID",),
    )
    secret_variables = (AZURE_TOKEN,)
    tracking_variables = ("VSTS_PROCESS_LOOKUP_ID",)

    def wants_details(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.wants_details: "Enable system diagnostics"."""
        return environ.get("SYSTEM_DEBUG", "").casefold() == "true"

    def occasion(self, environ: Mapping[str, str]) -> Trigger:
        """See CiSystem.occasion. An account is known by its address: everybody may choose a display name."""
        return Trigger(
            self.title,
            environ.get("BUILD_REASON", ""),
            "BUILD_REASON",
            named(environ.get("BUILD_REQUESTEDFOREMAIL")),
            "BUILD_REQUESTEDFOREMAIL",
            self.trusted_events,
            _fork(environ),
        )

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:
        """See CiSystem.proposal. The agent checks out Azure's own merge of the pull request."""
        if not _is_pull_request(environ):
            return None
        # GitHub's number; the id is Azure's own.
        numbers = (environ.get(f"SYSTEM_PULLREQUEST_PULLREQUEST{kind}") for kind in ("NUMBER", "ID"))
        number = next((number for number in numbers if number), "?")
        target = environ.get("SYSTEM_PULLREQUEST_TARGETBRANCH", "").removeprefix("refs/heads/")
        head = environ.get("SYSTEM_PULLREQUEST_SOURCECOMMITID")
        return Proposal(f"pull request {number}", (*at_tip(target), *at_merge_parent(head)))

    def repository(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.repository. In Azure Repos, the owner is the project."""
        name = environ.get("BUILD_REPOSITORY_NAME", "")
        if name and environ.get("BUILD_REPOSITORY_PROVIDER") == "TfsGit":
            name = f"{environ.get('SYSTEM_TEAMPROJECT', '')}/{name}"
        return name if _REPOSITORY.fullmatch(name) else ""

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link."""
        collection, project, build = (
            environ.get(name, "") for name in ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")
        )
        if not (collection and project and build):
            return ""
        return f"{collection.rstrip('/')}/{quote(project, safe='')}/_build/results?buildId={quote(build, safe='')}"

    def checkout(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.checkout."""
        return environ.get("BUILD_SOURCESDIRECTORY", "")

    def is_disposable(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_disposable. An agent that Microsoft hosts says 0."""
        return environ.get("AGENT_ISSELFHOSTED") == "0"

    has_starter = True
    movable = (_FILE,)
    secret_id_step = "Store VAULT_ROLE_ID and VAULT_SECRET_ID, both kept secret: the pipeline > Edit > Variables."  # noqa: S105 - advice

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        file = f".azure-pipelines/{request.job}.yml" if _FILE in request.taken else _FILE
        text = request.fill(_FILE, {"CONFIG": for_yaml(request.config_file)})
        steps = (
            f"{commit_step(file, '.codex-runner', *request.committed)}, to main: its schedule is for that branch.",
            f"Create the pipeline: Pipelines > New pipeline > Existing Azure Pipelines YAML file > /{file}.",
            f"Run it: from then on, Azure starts it {request.when}.",
        )
        return Starter({file: text, **request.locks}, steps)

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f"Store {variable}, kept secret: the pipeline > Edit > Variables."


def _is_pull_request(environ: Mapping[str, str]) -> bool:
    return environ.get("BUILD_REASON") == _PULL_REQUEST or bool(environ.get("SYSTEM_PULLREQUEST_PULLREQUESTID"))


def _fork(environ: Mapping[str, str]) -> str | None:
    """Return the repository that a pull request comes from if it is a fork. Returns "" if that is not known."""
    said = environ.get("SYSTEM_PULLREQUEST_ISFORK", "").casefold()
    if said == "false" or (not said and not _is_pull_request(environ)):
        return None
    if said != "true":
        return ""
    try:
        path = urlsplit(environ.get("SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI", "")).path
    except ValueError:
        return ""
    return path.strip("/").removesuffix(".git")

"""Jenkins."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from codex_runner.ci_systems.starter import Starter, commit_step
from codex_runner.ci_systems.system import CiSystem, Origin
from codex_runner.engine.proposal import Proposal, at_fork_point, at_tip
from codex_runner.engine.trust import Trigger, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.starter import StarterRequest

_FILE = "Jenkinsfile"


class Jenkins(CiSystem):
    """Facts of the variables that core, the Branch API and the Git plugin set."""

    name = "jenkins"
    title = "Jenkins"
    markers = ("JENKINS_URL",)
    # Jenkins says only if it builds a branch or a change request: these event names are ours.
    trusted_events = ("branch", "change")
    origin = Origin(
        actor=("BUILD_USER_ID",),
        trigger=("BUILD_CAUSE",),
        repository=("GIT_URL",),
        workflow_ref=("JOB_NAME",),
        sha=("GIT_COMMIT",),
        pipeline_run=("BUILD_TAG",),
    )
    tracking_variables = ("JENKINS_NODE_COOKIE",)

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_here. Not every Jenkins sets JENKINS_URL, and other systems set BUILD_TAG too."""
        return environ.get("BUILD_TAG", "").startswith("jenkins-")

    def occasion(self, environ: Mapping[str, str]) -> Trigger:
        """See CiSystem.occasion."""
        return Trigger(
            self.title,
            "change" if environ.get("CHANGE_ID") else "branch",
            "build",
            named(environ.get("CHANGE_AUTHOR"), environ.get("BUILD_USER_ID")),  # the second: plugin build user vars
            "CHANGE_AUTHOR",
            self.trusted_events,
            environ.get("CHANGE_FORK") or None,
        )

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:
        """See CiSystem.proposal."""
        if not (number := environ.get("CHANGE_ID")):
            return None
        target = environ.get("CHANGE_TARGET", "")
        return Proposal(f"change {number}", (*at_fork_point(target), *at_tip(target)))

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link."""
        return environ.get("BUILD_URL", "")

    has_starter = True
    movable = (_FILE,)
    secret_id_step = "Store codex-runner-role-id and codex-runner-secret-id, both of the kind 'secret text'."  # noqa: S105 - ids

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        file = f"{request.job}.{_FILE}" if _FILE in request.taken else _FILE
        # Groovy keeps text between three quotes as it is; a quoted word of the shell never has three in a row.
        words = {"CONFIG": request.config_file, "CONTEXT": request.context, "INPUT_SCRIPT": request.input_script}
        values = {key: shlex.quote(word).replace("\\", "\\\\") for key, word in words.items()}
        steps = (
            f"{commit_step(file, '.codex-runner', *request.committed)}.",
            "Make sure that Jenkins has the plugins Pipeline, JUnit and Credentials Binding.",
            f"Create the job: New Item > Pipeline > Pipeline script from SCM, Script Path {file}.",
            f"Build Now: from the first build on, Jenkins starts it {request.when}.",
        )
        return Starter({file: request.fill(_FILE, values), **request.locks}, steps)

    def variable_step(self, variable: str) -> str:  # noqa: ARG002 - the credential's id names it
        """See CiSystem.variable_step."""
        return "Store it as a credential of the kind 'secret text' with the id codex-runner-key."

    def delivery_step(self, variable: str) -> str:
        """See CiSystem.delivery_step."""
        return f"Store {variable} as a credential of the kind 'secret text' with the id codex-runner-delivery."

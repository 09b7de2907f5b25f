"""GitLab CI/CD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codex_runner.ci_systems.identity import IdentityVariable
from codex_runner.ci_systems.starter import Starter, commit_step, for_yaml
from codex_runner.ci_systems.system import CiSystem, Origin
from codex_runner.domain.secret_names import GITLAB_ID_TOKEN
from codex_runner.engine.proposal import Proposal, at_commit, at_merge_parent, at_tip
from codex_runner.engine.trust import Trigger, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.starter import StarterRequest

ISSUER: Final = "https://gitlab.com"
"""The issuer of identity tokens on gitlab.com."""
USER_CLAIM: Final = "project_path"
"""The claim that Vault names a login after."""
MAPPED_CLAIMS: Final = ("pipeline_id", "user_login", "sha", "ci_config_ref_uri")
"""Claims that Vault's audit log shows."""

_PIPELINE = ".gitlab-ci.yml"


class GitLab(CiSystem):
    """Facts of the predefined variables, as GitLab documents them."""

    name = "gitlab"
    title = "GitLab"
    markers = ("GITLAB_CI",)
    log_format = "gitlab"
    trusted_events = ("api", "merge_request_event", "parent_pipeline", "pipeline", "push", "schedule", "trigger", "web")
    origin = Origin(
        actor=("GITLAB_USER_LOGIN",),
        trigger=("CI_PIPELINE_SOURCE",),
        repository=("CI_PROJECT_PATH",),
        workflow_ref=("CI_CONFIG_REF_URI",),
        sha=("CI_COMMIT_SHA",),
        pipeline_run=("CI_PIPELINE_ID",),
    )
    secret_variables = (GITLAB_ID_TOKEN,)
    identity_claims = ("project_path", "project_id", "ref_protected", "pipeline_source", "ci_config_ref_uri")

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_here. gitlab-ci-local, and others that imitate GitLab, set GITLAB_CI=false."""
        return environ.get("GITLAB_CI") == "true"

    def wants_details(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.wants_details."""
        return environ.get("CI_DEBUG_TRACE") == "true"

    def occasion(self, environ: Mapping[str, str]) -> Trigger:
        """See CiSystem.occasion."""
        event = environ.get("CI_PIPELINE_SOURCE", "")
        source, target = (environ.get(f"CI_MERGE_REQUEST_{name}PROJECT_ID", "") for name in ("SOURCE_", ""))
        fork = None
        # A pipeline that a merge request's own pipeline has started has these variables too.
        if source != target or (event == "merge_request_event" and not source):
            fork = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "")
        elif event == "external_pull_request_event":
            names = [environ.get(f"CI_EXTERNAL_PULL_REQUEST_{side}_REPOSITORY", "") for side in ("SOURCE", "TARGET")]
            fork = None if names[0] and names[0] == names[1] else names[0]
        return Trigger(
            self.title,
            event,
            "CI_PIPELINE_SOURCE",
            named(environ.get("GITLAB_USER_LOGIN")),
            "GITLAB_USER_LOGIN",
            self.trusted_events,
            fork,
        )

    def proposal(self, environ: Mapping[str, str]) -> Proposal | None:
        """See CiSystem.proposal."""
        if number := environ.get("CI_EXTERNAL_PULL_REQUEST_IID"):
            sha = environ.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA")
            branch = environ.get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME")
            return Proposal(f"pull request {number}", (*at_commit(sha), *at_tip(branch)))
        number = environ.get("CI_MERGE_REQUEST_IID")
        if not number and environ.get("CI_PIPELINE_SOURCE") != "merge_request_event":
            return None
        # The first is empty except in pipelines for merged results.
        shas = (environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA"), environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
        bases = [base for sha in shas for base in at_commit(sha)]
        target = environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
        head = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
        return Proposal(f"merge request {number or '?'}", (*bases, *at_tip(target), *at_merge_parent(head)))

    def repository(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.repository."""
        return environ.get("CI_PROJECT_PATH", "")

    forge = "gitlab"
    forge_token = "CI_JOB_TOKEN"  # noqa: S105 - a variable's name

    def forge_api(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.forge_api."""
        return environ.get("CI_API_V4_URL", "")

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link."""
        return environ.get("CI_JOB_URL", "")

    def is_disposable(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_disposable."""
        return environ.get("CI_DISPOSABLE_ENVIRONMENT") == "true"

    def identity(self, environ: Mapping[str, str]) -> IdentityVariable | None:
        """See CiSystem.identity. Offered to a job with `id_tokens` of the name that GitLab's documentation uses."""
        return IdentityVariable(GITLAB_ID_TOKEN) if environ.get(GITLAB_ID_TOKEN) else None

    def identity_remedy(self, environ: Mapping[str, str], audience: str) -> str:
        """See CiSystem.identity_remedy. Also for gitlab-ci-local, which sets GITLAB_CI=false."""
        if not environ.get("GITLAB_CI"):
            return ""
        return f"Give the job `id_tokens: {{ {GITLAB_ID_TOKEN}: {{ aud: {audience} }} }}`."

    has_starter = True
    movable = (_PIPELINE,)
    login_method = "jwt"

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        pipeline = request.fill("gitlab-ci.yml", {"CONFIG": for_yaml(request.config_file)})
        files = {".gitlab/codex-runner.yml": request.fill("codex-runner.yml", {}), **request.locks}
        steps = (
            f"{commit_step(_PIPELINE, '.gitlab', '.codex-runner', *request.committed)}.",
            f"Start it: Build > Pipelines > New pipeline; for {request.when}, Build > Pipeline schedules.",
        )
        if _PIPELINE not in request.taken:
            return Starter({_PIPELINE: pipeline, **files}, steps)
        include, *_ = pipeline.partition("\n\n# GitLab starts it")
        return Starter(files, (f"Add to your .gitlab-ci.yml:\n\n{include}\n", *steps))

    def setup_login(self, project: str) -> str:
        """See CiSystem.setup_login."""
        return f"--gitlab-project {project}"

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f"Store {variable}, masked and protected: Settings > CI/CD > Variables."

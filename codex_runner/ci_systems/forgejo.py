"""Forgejo Actions. Gitea, and runners before 7.0, do not say that they are Forgejo: they count as GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from codex_runner.ci_systems.github import GitHub
from codex_runner.ci_systems.identity import IdentityEndpoint
from codex_runner.ci_systems.starter import Starter, commit_step, for_yaml
from codex_runner.domain.secret_names import ACTIONS_TOKEN, FORGEJO_TOKENS, GITHUB_ID_TOKEN, GITHUB_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.ci_systems.starter import StarterRequest

_PERMIT = "Give the workflow's job `enable-openid-connect: true`"


class Forgejo(GitHub):
    """Facts of Forgejo's reference of workflows. It sets GitHub's variables too, and sends events of GitHub's shape.

    Since GitHub's variables say nothing of Forgejo, each answer of its own is for jobs of Forgejo alone.
    """

    name = "forgejo"
    title = "Forgejo"
    markers = ("FORGEJO_ACTIONS",)
    # Those of GitHub that Forgejo has. `pull_request` is judged by the repository that it comes from.
    trusted_events = ("pull_request", "push", "release", "schedule", "workflow_dispatch")
    # Every step has the automatic token and the one for artifacts, not only those that ask for it.
    secret_variables = (GITHUB_ID_TOKEN, *GITHUB_TOKENS, *FORGEJO_TOKENS, ACTIONS_TOKEN)
    identity_claims: ClassVar[tuple[str, ...]] = ("repository", "ref", "workflow_ref", "event_name")

    def is_here(self, environ: Mapping[str, str]) -> bool:
        """See CiSystem.is_here."""
        return environ.get("FORGEJO_ACTIONS") == "true"

    forge = ""  # pull requests there need an API that the runner does not speak

    def forge_api(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.forge_api."""
        return super().forge_api(environ) if self.is_here(environ) else ""

    def link(self, environ: Mapping[str, str]) -> str:
        """See CiSystem.link. The page of a run has its number in the repository, and not its id."""
        if not self.is_here(environ):
            return ""
        return super().link({**environ, "GITHUB_RUN_ID": environ.get("GITHUB_RUN_NUMBER", "")})

    def is_disposable(self, environ: Mapping[str, str]) -> bool:  # noqa: ARG002 - Forgejo does not say
        """See CiSystem.is_disposable."""
        return False

    def identity(self, environ: Mapping[str, str]) -> IdentityEndpoint | None:
        """See CiSystem.identity. Offered to a job with `enable-openid-connect: true`, by Forgejo 15 and later."""
        url = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
        if not url or not self.is_here(environ):
            return None
        return IdentityEndpoint(
            title=self.title,
            url=url,
            bearer=GITHUB_ID_TOKEN,
            if_missing="Forgejo sets it beside ACTIONS_ID_TOKEN_REQUEST_URL: pass on both, or neither.",
            if_silent="Run the job again; if Forgejo stays silent, ask its administrator.",
            if_refused=f"{_PERMIT}. A request token ends with its job.",
        )

    def identity_remedy(self, environ: Mapping[str, str], audience: str) -> str:  # noqa: ARG002 - asked for later
        """See CiSystem.identity_remedy."""
        return f"{_PERMIT}: Forgejo 15 and later then offer it a token." if self.is_here(environ) else ""

    login_method = "approle"
    delivery_target = "git"
    secret_id_step = "Store VAULT_ROLE_ID and VAULT_SECRET_ID as secrets: Settings > Actions > Secrets."  # noqa: S105 - advice

    def starter(self, request: StarterRequest) -> Starter:
        """See CiSystem.starter."""
        file = f".forgejo/workflows/{request.job}.yml"
        unset = "".join(f"-u {name} " for name in self.secret_variables)  # which every step has
        text = request.fill("forgejo.yml", {"CONFIG": for_yaml(request.config_file), "UNSET": unset})
        steps = (
            "Make sure that `runs-on` in the workflow names a label of your runners.",
            f"{commit_step(file, '.codex-runner', *request.committed)}, to the default branch.",
            f"Start it: Actions > {request.job}.yml > Run workflow.",
        )
        return Starter({file: text, **request.locks}, steps)

    def setup_login(self, project: str) -> str:  # noqa: ARG002 - an AppRole has no project
        """See CiSystem.setup_login."""
        return "--approle ADDRESSES"

    def variable_step(self, variable: str) -> str:
        """See CiSystem.variable_step."""
        return f"Store the secret {variable}: Settings > Actions > Secrets."

    def delivery_step(self, variable: str) -> str:
        """See CiSystem.delivery_step. The automatic token is there without a step."""
        if variable in GITHUB_TOKENS:
            return f"{variable} is the token that Forgejo makes for each run: there is nothing to store."
        return self.variable_step(variable)

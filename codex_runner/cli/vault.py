"""`codex-runner vault setup`: what Vault needs for one workflow."""

from __future__ import annotations

import dataclasses
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.cli.operators import duration, optional_config
from codex_runner.cli.options import ConfigOption, SetOption  # noqa: TC001 - as above
from codex_runner.cli.signals import Interruption
from codex_runner.cli.speech import tell

if TYPE_CHECKING:
    from codex_runner.app.vault_setup import SetupRequest

vault_app = typer.Typer(name="vault", help="Set Vault up for a workflow.", no_args_is_help=True)


class Format(StrEnum):
    """How the steps are printed."""

    SH = "sh"
    HCL = "hcl"
    TERRAFORM = "terraform"


@vault_app.callback()
def _vault() -> None:
    pass  # so that `setup` stays a command of its own beside later ones


@vault_app.command()
def setup(
    workflow: Annotated[
        str,
        typer.Option(
            help="The workflow and the path of its token, such as acme/app/release-notes.", show_default=False
        ),
    ],
    delivery: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The path of the delivery's own token on the mount.", show_default=False),
    ] = None,
    repo: Annotated[str | None, typer.Option(help="GitHub: owner/name.", show_default=False)] = None,
    repository_id: Annotated[
        str | None,
        typer.Option(help="GitHub: the repository's number. Default: ask GitHub.", show_default=False),
    ] = None,
    workflow_file: Annotated[
        str | None,
        typer.Option(help="GitHub: the workflow's file.", show_default=".github/workflows/<last part>.yml"),
    ] = None,
    ref: Annotated[str, typer.Option(help="The one ref on which the workflow may run.")] = "refs/heads/main",
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="An event that may start the workflow. May be repeated.",
            show_default="schedule, push, workflow_dispatch",
        ),
    ] = None,
    tag_prefix: Annotated[
        str | None, typer.Option(help="Instead of --ref: pushed tags that begin with this.", show_default=False)
    ] = None,
    pull_requests: Annotated[
        bool, typer.Option("--pull-requests", help="GitHub, with --environment: pull requests into --ref.")
    ] = False,
    lister: Annotated[
        bool, typer.Option("--lister", help="The role lists all tokens of the mount, and reads none.")
    ] = False,
    environment: Annotated[
        str | None, typer.Option(help="The deployment environment in which the workflow must run.", show_default=False)
    ] = None,
    gitlab_project: Annotated[
        str | None, typer.Option(help="GitLab: the project's number, or its path.", show_default=False)
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="The issuer of the identity tokens.", show_default="GitHub's or GitLab's own")
    ] = None,
    approle: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Make an AppRole too, for these addresses only.", show_default=False),
    ] = None,
    secret_id_ttl: Annotated[str, typer.Option(help="AppRole: the lifetime of a secret id.")] = "30d",  # noqa: S107 - a time
    mount: Annotated[str, typer.Option(help="The KV mount.")] = "codex",
    jwt_mount: Annotated[str, typer.Option(help="The mount of JWT logins.")] = "jwt",
    approle_mount: Annotated[str, typer.Option(help="The mount of AppRole logins.")] = "approle",
    audience: Annotated[str, typer.Option(help="The audience of the identity tokens.")] = "codex-runner",
    format_: Annotated[Format, typer.Option("--format", help="The format of what is printed.")] = Format.SH,
    apply: Annotated[bool, typer.Option("--apply", help="Make it, with a Vault token that has the rights.")] = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Print Vault's setup for a workflow, or make it with --apply: a mount, three policies, and a login of its own.

    Example: codex-runner vault setup --workflow acme/app/release-notes --repo acme/app
    """
    from codex_runner.app import vault_setup

    request = vault_setup.SetupRequest(
        workflow=workflow,
        delivery=delivery,
        repository=repo,
        repository_id=repository_id,
        workflow_file=workflow_file,
        ref=ref,
        events=tuple(event) if event else None,
        tag_prefix=tag_prefix,
        pull_requests=pull_requests,
        lister=lister,
        environment=environment,
        gitlab_project=gitlab_project,
        approle_cidrs=tuple(approle or ()),
        issuer=issuer,
        mount=mount,
        jwt_mount=jwt_mount,
        approle_mount=approle_mount,
        audience=audience,
        secret_id_ttl=int(duration(secret_id_ttl, "--secret-id-ttl")),
    )
    vault_setup.require_safe(request)
    if repo and not repository_id and not gitlab_project:
        request = dataclasses.replace(request, repository_id=vault_setup.repository_id(repo, os.environ))
        tell(f"GitHub's number of {repo} is {request.repository_id}")
    steps = vault_setup.plan(request)
    if apply:
        loaded = optional_config(config, settings)
        vault_setup.make(steps, loaded, os.environ, typer.echo, tell, Interruption())
    else:
        typer.echo(vault_setup.rendered(steps, format_.value), nl=False)
    if repo or gitlab_project:
        auth = f'method = "jwt", role = "{request.role_name}"{_at(request.jwt_mount, "jwt")}'
        tell(f"the configuration then says: [vault] auth = {{ {auth} }}")
        where = "" if mount == vault_setup.DEFAULT_MOUNT else f" --mount {mount}"
        then = f"the workflow then runs `codex-runner token check{where}`"
        tell(then if lister else f"and the job: {_credential(request)}")
    if request.approle_cidrs:
        _tell_approle(request)
    if delivery is not None:
        tell(f"and its delivery: {_credential(request, delivery)}")
        where = "" if mount == vault_setup.DEFAULT_MOUNT else f" --mount {mount}"
        tell(f"its token is stored by: codex-runner token put {workflow}{where} --path {delivery} --kind api_key")


def _credential(request: SetupRequest, path: str | None = None) -> str:
    """Return the line for the token at `path`, by default the job's own.

    It names the workflow: outside a CI system, and without a clone, nothing else does.
    """
    named = f', workflow = "{request.workflow}"' if request.approle_cidrs else ""
    return f'credential = {{ mount = "{request.mount}", path = "{path or request.workflow}"{named} }}'


def _at(mount: str, usual: str) -> str:
    return "" if mount == usual else f', mount = "{mount}"'


def _tell_approle(request: SetupRequest) -> None:
    """Say how the role id and a secret id are had, and what the configuration says then."""
    role = f"auth/{request.approle_mount}/role/{request.role_name}"
    tell("with AppRole: the role id, which is no secret, and a secret id, which goes into a file and nowhere else:")
    tell(f"  vault read -field=role_id {role}/role-id")
    tell(f"  (umask 077; vault write -f -field=secret_id {role}/secret-id >FILE)")
    auth = f'method = "approle", role = "{request.role_name}"{_at(request.approle_mount, "approle")}'
    tell(f'the configuration then says: [vault] auth = {{ {auth}, role_id = "...", secret_id_file = "FILE" }}')
    tell("  (without `role_id` and `secret_id_file`, VAULT_ROLE_ID and VAULT_SECRET_ID are read)")
    if not request.lister:
        tell(f"and the job: {_credential(request)}")

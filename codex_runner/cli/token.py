"""`codex-runner token`: the tokens that Vault keeps for the workflows."""

from __future__ import annotations

import os
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app import tokens
from codex_runner.app.diagnosis import write_junit
from codex_runner.app.token_target import target_of
from codex_runner.cli.operators import confirm, duration, optional_config
from codex_runner.cli.options import ConfigOption, SetOption  # noqa: TC001 - as above
from codex_runner.cli.signals import Interruption, follow
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_table
from codex_runner.cli.token_input import TokenKind, read_stdin, token_and_dates
from codex_runner.cli.token_output import age, entry_json, finding_json, show_stored, time_left
from codex_runner.domain.credential import CredentialKind, CredentialSpec, Outcome
from codex_runner.domain.errors import CredentialError, RunnerError, UsageError
from codex_runner.domain.exit_code import ExitCode
from codex_runner.text.counts import plural

if TYPE_CHECKING:
    from codex_runner.app.token_target import Target
    from codex_runner.app.tokens import TokenDesk
    from codex_runner.config import Config
    from codex_runner.domain.credential import Finding
    from codex_runner.domain.secret import Secret

token_app = typer.Typer(
    name="token",
    help="Store, rotate, list, check and destroy the tokens that Vault keeps for the workflows.\n\n"
    "Vault's address is in the configuration's table `vault`, or in VAULT_ADDR. A Vault token of your own "
    "(VAULT_TOKEN, or `vault login`) comes before the pipeline's login, which has no right to any of this.",
    no_args_is_help=True,
)

WorkflowArgument = Annotated[
    str, typer.Argument(help="The workflow, such as acme/app/release-notes.", show_default=False)
]
MountOption = Annotated[str | None, typer.Option(help="The KV mount.", show_default="codex")]
PathOption = Annotated[str | None, typer.Option(help="The path in the mount.", show_default="the workflow's name")]
FieldOption = Annotated[str | None, typer.Option(help="The field that holds the token.", show_default="token")]
PrefixArgument = Annotated[str, typer.Argument(help="Only tokens below this folder.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
OwnerOption = Annotated[str, typer.Option(help="The person who made the token and can revoke it.")]
ExpiresOption = Annotated[
    str | None,
    typer.Option(help="The token's expiry: 30d, a date, or never. A JWT names its own.", show_default=False),
]
IssuedOption = Annotated[str | None, typer.Option(help="The token's date of issue.", show_default="now")]
GraceOption = Annotated[
    str, typer.Option(help="How long to keep the old version: longer than any run that started on it.")
]
KindOption = Annotated[
    TokenKind | None,
    typer.Option(
        help="The token's kind. A job that uses it names the same `kind`.", show_default="the job's, or by its looks"
    ),
]


@token_app.command()
def put(
    workflow: WorkflowArgument,
    owner: OwnerOption,
    expires: ExpiresOption = None,
    issued: IssuedOption = None,
    grace: GraceOption = "1d",
    kind: KindOption = None,
    mount: MountOption = None,
    path: PathOption = None,
    field: FieldOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store a workflow's token from stdin, after `codex login status` has accepted it.

    Retires the version before it: `token sweep` destroys that version when its grace is over.

    Example: pass show codex | codex-runner token put acme/app/release-notes --owner ada --expires 30d
    """
    desk, target, _ = _open(config, settings, workflow, mount, path, field, kind)
    seconds = duration(grace, "--grace")
    secret, target, dates = token_and_dates(target, expires, issued, is_given=kind is not None)
    show_stored(target, desk.put(target, secret, owner, dates, seconds), dates, as_json=as_json)


@token_app.command()
def rotate(
    workflow: WorkflowArgument,
    owner: OwnerOption,
    expires: ExpiresOption = None,
    issued: IssuedOption = None,
    grace: GraceOption = "1d",
    kind: KindOption = None,
    mount: MountOption = None,
    path: PathOption = None,
    field: FieldOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a workflow's token by one from stdin, after a preflight and a turn of a real run have proven it.

    If a proof fails, the command stores nothing. `token sweep` destroys the old version when its grace is over.
    """
    desk, target, _ = _open(config, settings, workflow, mount, path, field, kind)
    seconds = duration(grace, "--grace")
    secret, target, dates = token_and_dates(target, expires, issued, is_given=kind is not None)
    show_stored(target, desk.rotate(target, secret, owner, dates, seconds), dates, as_json=as_json)


@token_app.command("list")
def list_(
    prefix: PrefixArgument = "",
    mount: MountOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all tokens with owner, age, expiry and state. Needs no right to read a token."""
    desk, where, _ = _open_mount(config, settings, mount)
    entries = desk.entries(where, prefix)
    if as_json:
        print_json([entry_json(entry) for entry in entries])
        return
    now = time.time()
    rows = [
        (
            entry.workflow or entry.place.path,
            entry.owner or "-",
            str(entry.version),
            age(entry.issued_at, now),
            entry.expires_at or "-",
            time_left(entry.expires_at, now),
            entry.state,
        )
        for entry in entries
    ]
    if rows:
        show_table(("WORKFLOW", "OWNER", "VERSION", "AGE", "EXPIRES", "LEFT", "STATE"), rows, os.environ)
    else:
        tell(f"there is no token in {where}/{prefix}")


@token_app.command()
def check(
    workflows: Annotated[
        list[str] | None, typer.Argument(help="Only these workflows. Default: all of the mount.", show_default=False)
    ] = None,
    within: Annotated[str, typer.Option(help="Refuse tokens that expire within this time.")] = "7d",
    sweep: Annotated[bool, typer.Option("--sweep", help="Destroy the retired versions whose grace is over.")] = False,
    prefix: Annotated[str, typer.Option(help="Only tokens below this folder.", show_default=False)] = "",
    mount: MountOption = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report here.", show_default=False)] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse tokens that expire soon: exit code 4 if one does, or if its expiry is not known."""
    desk, where, loaded = _open_mount(config, settings, mount)
    seconds = duration(within, "--within")
    paths = [_target(loaded, name, mount, None, None).spec.path for name in workflows or ()]
    done = desk.check(where, prefix, paths=paths, within=seconds, sweep=sweep)
    if junit is not None:
        _write_junit(junit, [(str(entry.place), finding) for entry, finding in done.findings])
    if as_json:
        print_json(
            {
                "findings": [finding_json(entry, finding) for entry, finding in done.findings],
                "swept": {str(place): list(versions) for place, versions in done.swept.items()},
            }
        )
    elif done.findings:
        rows = [(e.workflow or e.place.path, f.rule, f.outcome.value, f.message) for e, f in done.findings]
        show_table(("WORKFLOW", "RULE", "OUTCOME", "WHAT"), rows, os.environ)
    else:
        tell(f"there is no token in {where}/{prefix}")
    refused = [finding for _, finding in done.findings if finding.outcome is Outcome.REFUSED]
    for remedy in dict.fromkeys(finding.remedy for finding in refused if finding.remedy):
        tell(remedy)
    if refused:
        raise typer.Exit(int(ExitCode.CREDENTIAL))


@token_app.command("sweep")
def sweep_(
    prefix: PrefixArgument = "",
    mount: MountOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy the retired versions whose grace is over. Never destroys the newest version."""
    desk, where, _ = _open_mount(config, settings, mount)
    swept = desk.sweep(where, prefix)
    if as_json:
        print_json({str(place): list(versions) for place, versions in swept.items()})
        return
    for place, versions in swept.items():
        typer.echo(f"{place}: destroyed {plural(len(versions), 'version')} {', '.join(map(str, versions))}")
    if not swept:
        tell("nothing is due")


@token_app.command()
def destroy(
    workflow: WorkflowArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    mount: MountOption = None,
    path: PathOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy every version of a token in Vault for good. The token itself stays valid: see `token revoke`."""
    desk, target, _ = _open(config, settings, workflow, mount, path, None)
    confirm(f"Destroy every version of {target.place}, for good?", yes=yes)
    versions = desk.destroy(target)
    tell(f"{target.place}: the token itself still works until its owner revokes it: `codex-runner token revoke`")
    if as_json:
        print_json({"place": str(target.place), "destroyed": list(versions)})
    else:
        typer.echo(f"{target.place}: destroyed {', '.join(map(str, versions)) or 'nothing: it was gone already'}")


@token_app.command()
def revoke(
    workflow: WorkflowArgument,
    stdin: Annotated[
        str | None,
        typer.Argument(metavar="[-]", help="`-` reads the token from stdin, not from Vault.", show_default=False),
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to wait until the service refuses the token.")] = "10m",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    mount: MountOption = None,
    path: PathOption = None,
    field: FieldOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Wait until the service refuses a token, then destroy its versions in Vault. Only then is the exit code 0.

    Vault cannot revoke a token of the model service: its owner does that at the place of issue. Until the service
    refuses the token, the command destroys nothing, and may be run again. A version that is stored meanwhile stays.
    """
    desk, target, _ = _open(config, settings, workflow, mount, path, field)
    patience = duration(wait, "--wait")
    if target.spec.kind is not CredentialKind.ACCESS_TOKEN:
        raise UsageError(
            f"codex cannot check a {target.spec.kind}, so its revocation cannot be proven.",
            remedy="Revoke it at the service that issued it, then remove Vault's copies: `codex-runner token destroy`.",
        )
    if stdin not in {None, "-"}:
        raise UsageError(f"Unexpected argument {stdin!r}.", remedy="A token is never an argument; give it on stdin.")
    if stdin == "-" and not yes:
        raise UsageError("Confirmation is required, and stdin holds the token.", remedy="Give --yes.")
    confirm(f"Destroy every version of {target.place}, for good, once the service refuses it?", yes=yes)
    secret = read_stdin(target) if stdin == "-" else _fetch(desk, target)
    entry = desk.entry(target)
    tell(
        f"now {entry.owner or 'its owner'} revokes it where it was made: among the access tokens of the workspace, in "
        "the admin console of ChatGPT"
    )
    desk.wait_until_refused(target, secret, patience)
    if entry.version:
        _destroy_refused(desk, target, entry.version)
    typer.echo(f"{target.workflow}: the token is revoked")


def _fetch(desk: TokenDesk, target: Target) -> Secret:
    try:
        return desk.fetch(target)
    except CredentialError as error:
        error.remedy = f"{error.remedy} Or give the token on stdin (`-`)."
        raise


def _destroy_refused(desk: TokenDesk, target: Target, last: int) -> None:
    """Destroy the copies of a token that the service refuses: all that existed when the command began."""
    try:
        versions = desk.destroy(target, up_to=last)
    except RunnerError as error:
        error.message = f"The service refuses the token, but Vault's copies are still there: {error.message}"
        error.remedy = f"{error.remedy} `codex-runner token destroy {target.workflow}` removes them."
        raise
    tell(f"{target.place}: destroyed {', '.join(map(str, versions)) or 'nothing: it was gone already'}")
    if (newest := desk.entry(target).version) > last:
        tell(f"{target.place}: version {newest} was stored meanwhile, and stays")


def _open(
    config: Path | None,
    settings: list[str] | None,
    workflow: str,
    mount: str | None,
    path: str | None,
    field: str | None,
    kind: TokenKind | None = None,
) -> tuple[TokenDesk, Target, Config | None]:
    desk, _, loaded = _open_mount(config, settings, mount)
    return desk, _target(loaded, workflow, mount, path, field, kind), loaded


def _open_mount(
    config: Path | None, settings: list[str] | None, mount: str | None
) -> tuple[TokenDesk, str, Config | None]:
    loaded = optional_config(config, settings)
    vault = tokens.operators_vault(loaded, os.environ)
    defaults = (loaded.defaults.credential if loaded else None) or CredentialSpec()
    desk = tokens.TokenDesk(vault, os.environ, tell, Interruption, follow)
    return desk, mount or defaults.mount, loaded


def _target(
    loaded: Config | None,
    workflow: str,
    mount: str | None,
    path: str | None,
    field: str | None,
    kind: TokenKind | None = None,
) -> Target:
    kept = None if kind is None else CredentialKind(kind.value)
    target = target_of(loaded, workflow, mount=mount, path=path, field=field, kind=kept)
    if target.workflow != workflow:
        tell(f"the job {target.job} keeps its token at {workflow}, but requires one of the workflow {target.workflow}")
    return target


def _write_junit(path: Path, findings: list[tuple[str, Finding]]) -> None:
    write_junit(path, "token check", findings)

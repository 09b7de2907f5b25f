"""`codex-runner demo`: the main job, for real, with no account."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.demo import FORGE_TOKEN, demo_world, forget_changes
from codex_runner.app.invocation import Invocation
from codex_runner.app.secret_places import setting_secrets
from codex_runner.cli.options import LogFormat, LogFormatOption, OutputOption, sinks
from codex_runner.cli.signals import follow
from codex_runner.config import load, resolve_job
from codex_runner.engine.stopping import Stopping
from codex_runner.text.clean import clean_line
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from codex_runner.app.demo import DemoWorld
    from codex_runner.domain.folder import RunFolder


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the scratch folder, and print how to run the job by hand.")
    ] = False,
    output: OutputOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Run a real job on a scratch repository: the real codex, a real Vault, a scripted model and a small forge.

    The agent drafts release notes, and the run ends with a branch and a pull request. All services listen on 127.0.0.1.
    """
    from codex_runner.app.run import run_job

    began = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="codex-runner-demo-"))
    try:
        with demo_world(scratch, os.environ, _say) as world:
            config = load(None, scratch, world.environ)
            job = resolve_job(config, world.job)
            _say(f"codex-runner run {world.job}")
            invocation = Invocation.of(config, world.environ, sinks(log_format, setting_secrets(job)))
            output_dir, stopping = (output or Path("codex-runner-out")).absolute(), Stopping()
            running = run_job(job, output_dir, invocation, stopping=stopping)
            folder, state = follow(stopping.request, running)
            _say(f"the model service was asked {len(world.model.responses)} times, each time with the right token")
            _say(_revocation(world))
            _show_pull_request(world)
            forget_changes(folder.run_id, os.environ)
            by_hand = _by_hand(world)
        _show_what_is_left(folder, time.monotonic() - began)
        if keep:
            typer.echo(f"\nThe scratch folder is kept: {scratch}\n{by_hand}", err=True)
        else:
            _say("its services have ended, so the addresses above do not answer; with --keep it says how to start them")
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)
    raise typer.Exit(state.verdict.exit_code if state.verdict else 70)


def _revocation(world: DemoWorld) -> str:
    """Say what Vault's audit log shows of the run."""
    paths = [entry.get("request", {}).get("path") for entry in world.audit()]
    given_back = "auth/token/revoke-self" in paths
    return f"Vault's audit log {'shows' if given_back else 'does NOT show'} that the login was revoked"


def _show_pull_request(world: DemoWorld) -> None:
    """Show the pull request as the forge has it: its page ends with the demo."""
    for pull in world.forge.project.pulls:
        kind = f"{'draft, ' if pull.draft else ''}{pull.state}"
        signed = "a signed commit" if pull.tip in world.forge.project.signed else "a commit"
        _say(f"the forge has pull request {pull.number} ({kind}) of {pull.author}, with {signed} on {pull.branch}:")
        diff = world.forge.repository.git("diff", f"refs/heads/{pull.base}...{pull.tip}")
        for line in (f"title: {pull.title}", "", *diff.splitlines()):
            typer.echo(f"    {clean_line(line)}".rstrip(), err=True)


def _show_what_is_left(folder: RunFolder, seconds: float) -> None:
    _say(f"done in {format_duration(seconds)}; this is what the run left:")
    for path in sorted(folder.path.rglob("*")):
        if path.is_file():
            typer.echo(path)


def _by_hand(world: DemoWorld) -> str:
    beside = Path(sys.executable).with_name("codex-runner")  # ci/demo leaves it out of the caller's PATH
    runner = shlex.quote(str(beside)) if beside.is_file() else "codex-runner"
    python, token, forge_token = shlex.quote(sys.executable), world.token.reveal(), world.forge_token.reveal()
    forge, config = shlex.quote(str(world.project.parent / "forge")), shlex.quote(str(world.config))
    return (
        "To run the same job by hand (the Vault is gone, so the token, worth nothing elsewhere, comes from the "
        "environment):\n"
        f"  {python} -m codex_runner.demo.model --port {world.model.port} --scenario release_notes --token {token} &\n"
        f"  {python} -m codex_runner.demo.forge --port {world.forge.port} --folder {forge} "
        f"--repository {world.forge.project.name} --token {forge_token} &\n"
        f"  git -C {shlex.quote(str(world.project))} clean -fdq\n"
        f"  CODEX_ACCESS_TOKEN={token} {FORGE_TOKEN}={forge_token} {runner} run {world.job} -c {config} "
        "--set 'jobs.release-notes.credential.source=\"env\"'\n"
        "The pull request that it opens has a page, as long as the forge runs.\n"
        "Then end the two services, and remove the folder:\n"
        f"  kill %1 %2; rm -rf {shlex.quote(str(world.config.parent))}\n"
    )


def _say(text: str) -> None:
    typer.secho(f"demo: {text}", err=True, bold=True, color=None if sys.stderr.isatty() else False)

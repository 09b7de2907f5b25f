"""`codex-runner doctor`: what would stop a run."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from codex_runner.app.diagnosis import configuration_failed, exit_code, write_junit
from codex_runner.app.doctor import Doctor
from codex_runner.app.invocation import Invocation
from codex_runner.cli.completion import job_names
from codex_runner.cli.governance_output import answer_governance
from codex_runner.cli.options import ConfigOption, JunitOption, SetOption, configuration
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_table
from codex_runner.domain.errors import ConfigurationError, UsageError
from codex_runner.domain.host import Host, host_name_problem

if TYPE_CHECKING:
    from pathlib import Path

    from codex_runner.app.diagnosis import Diagnosis


def doctor(
    job: Annotated[
        str | None,
        typer.Argument(
            help="Check only what this job needs. Default: all jobs.", show_default=False, autocompletion=job_names
        ),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    junit: JunitOption = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Check this host, without any job: `local`, or an alias. Warns of what a host for agents alone should "
            "not have.",
            show_default=False,
        ),
    ] = None,
    governance: Annotated[
        bool,
        typer.Option("--governance", help="Answer the questions of a review about the job, each with its source."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check all that a run needs, and start none. Exits with 0, or with the code that the run would end with.

    Logs in to Vault, judges the token and asks `codex login status` about it. Leaves nothing behind.
    """
    if governance:
        if job is None or host is not None or junit is not None:
            raise UsageError("--governance is about one job.", remedy="Give a job, and neither --host nor --junit.")
        answer_governance(configuration(config, settings or []), job, as_json=as_json)
        return
    if host is not None and job is not None:
        raise UsageError("--host checks a host without any job.", remedy="Give a job or --host.")
    found = _examine(config, settings, job, host)
    if junit is not None:
        write_junit(junit, "doctor", [(each.subject, each.finding) for each in found])
    code = exit_code(found)
    if as_json:
        print_json({"exit_code": code, "checks": [_document(each) for each in found]})
    else:
        _show(found)
    raise typer.Exit(code)


def _examine(
    config: Path | None, settings: list[str] | None, job: str | None, host: str | None
) -> tuple[Diagnosis, ...]:
    try:
        loaded = configuration(config, settings or [])
    except ConfigurationError as error:
        return (configuration_failed(error),)
    doctor = Doctor(loaded, Invocation.of(loaded, os.environ, None), tell)
    if host is not None:
        if problem := host_name_problem(host):
            raise UsageError(f"--host {host!r}: {problem}.", remedy="Name `local`, or an alias of OpenSSH.")
        return asyncio.run(doctor.examine_host(Host(host)))
    return asyncio.run(doctor.examine([job] if job else sorted(loaded.jobs)))


def _document(each: Diagnosis) -> dict[str, str | int]:
    return {
        "subject": each.subject,
        "check": each.finding.rule,
        "state": each.state,
        "message": each.finding.message,
        "remedy": each.finding.remedy,
        "exit_code": each.exit_code,
    }


def _show(found: tuple[Diagnosis, ...]) -> None:
    rows = [
        (each.subject, each.finding.rule, each.state, line)
        for each in found
        for line in [" ".join(each.finding.message.split())]
    ]
    show_table(("FOR", "CHECK", "STATE", "WHAT"), rows, os.environ)
    for each in found:
        if each.finding.remedy and each.state != "ok":
            tell(f"{each.subject}, {each.finding.rule}: {each.finding.remedy}")

"""How the runner starts codex: arguments, configuration, environment.

Settings go into the run's own config.toml, so that the command line stays short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomli_w

from codex_runner.codex import project
from codex_runner.codex.permissions import permissions
from codex_runner.domain.host import Launch
from codex_runner.domain.job import Instructions
from codex_runner.git.guard import guarded
from codex_runner.shell.script import shell_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.codex.survey import Survey
    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job
    from codex_runner.domain.secret import Secret

# Disabled if the installed codex has them, each for a measured reason:
DISABLED_FEATURES = (
    "unbounded_connection_retries",  # an unreachable model service would hang the run for ever
    "shell_snapshot",  # writes codex's environment, its token included, into a file that the agent can read
    "apps",  # background requests, a fifth of the time of a short run
    "plugins",  # the same
    "daemon_auto_start",  # a process that would outlive the run
)

GO_ON = (
    "Your last turn was interrupted by a fault that was not yours. Look at what is done already, and finish the task "
    "from there. Do not begin anew."
)


def launch(  # noqa: PLR0913 - what a start consists of
    job: Job,
    run_id: str,
    attempt: int,
    install: Install,
    environment: Mapping[str, str | Secret],
    *,
    survey: Survey,
    mode: Instructions = Instructions.WORKSPACE,
    hidden: Sequence[str] = (),
    kept: Sequence[str] = (),
    resume: str | None = None,
    told: str | None = None,
) -> Launch:
    """Return the launch of an attempt of this job with this codex. `hidden` and `kept`: see permissions().

    `survey` is what the repository has for codex; `mode` says which of its instructions codex gets. With `resume`,
    codex resumes the thread of that id in the same CODEX_HOME, with the prompt `told`, by default GO_ON.
    """
    prompt = job.prompt if resume is None else told or GO_ON
    return Launch(
        run_id=run_id,
        attempt=attempt,
        command=argv(install, resume, schema=None if job.output_schema is None else _schema_path(install, run_id)),
        cwd=job.cwd,
        config=toml(config(job, run_id, attempt, install, survey=survey, mode=mode, hidden=hidden, kept=kept)),
        prompt=prompt.encode("utf-8", "surrogateescape"),
        timeout=job.limits.timeout,
        orphan=job.limits.orphan,
        retention=job.limits.retention,
        # codex itself runs git in `cwd`, outside the sandbox, and the agent may have made a repository there.
        environment=guarded({**job.codex.environment, **environment}),
        schema=job.output_schema,
        instructions=project.text(survey, job),
    )


def argv(install: Install, resume: str | None = None, *, schema: str | None = None) -> tuple[str, ...]:
    """Return the command line. The prompt comes on stdin (`-`); the working directory is the process's own.

    `schema` is the path on the host of the final message's JSON Schema, which codex passes to the model.
    """
    thread = () if resume is None else ("resume", resume)
    shape = () if schema is None else ("--output-schema", schema)
    first = (
        ("/bin/sh", "-c", shell_script("codex_runner.codex", "own_bwrap.sh"), "sh", install.bwrap)
        if install.bwrap
        else ()
    )
    return (*first, install.path, "exec", "--json", "--strict-config", "--skip-git-repo-check", *shape, *thread, "-")


def _schema_path(install: Install, run_id: str) -> str:
    """Return the path on the host of a launch's schema."""
    return f"{install.runs}/{run_id}/home/output-schema.json"


def config(  # noqa: PLR0913 - the same
    job: Job,
    run_id: str,
    attempt: int,
    install: Install,
    *,
    survey: Survey,
    mode: Instructions = Instructions.WORKSPACE,
    hidden: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the run's config.toml as a mapping: our defaults, then the user's settings, then the enforced ones."""
    ours: dict[str, Any] = {
        "sandbox_mode": job.sandbox.value,
        "check_for_update_on_startup": False,
        "analytics": {"enabled": False},
        "features": {name: False for name in DISABLED_FEATURES if name in install.features},
        "shell_environment_policy": {"inherit": "core"},
    }
    if job.codex.model is not None:
        ours["model"] = job.codex.model
    profile = permissions(job, install, hidden, kept)
    merged = merge(merge(ours, profile), job.codex.config)
    if profile:
        merged["default_permissions"] = profile["default_permissions"]
    # A sweep finds the agent's remaining processes by this mark on systems that have no surer way.
    policy = merged["shell_environment_policy"]
    policy["set"] = {**policy.get("set", {}), "CODEX_RUNNER_MARK": f"{run_id}/{attempt}/"}
    return {**merged, **project.settings(survey, mode, merged)}


def toml(settings: Mapping[str, Any]) -> str:
    """Return settings as the text of a config.toml."""
    return tomli_w.dumps(settings)


def login_config(job: Job) -> str:
    """Return the config.toml for `codex login status`: the job's settings of the service."""
    features = {"unbounded_connection_retries": False}
    return toml(merge({"check_for_update_on_startup": False, "features": features}, job.codex.config))


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `under` with `over` on top: nested tables are merged, other values replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged

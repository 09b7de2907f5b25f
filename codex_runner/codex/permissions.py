"""What codex lets the agent's commands read and write: a permission profile of codex, narrower than its sandbox modes.

codex's read-only and workspace-write modes let the agent read every file that the user can read. The profile takes away
the run directories (every run's prompt, transcript and configuration) and the places where credentials usually lie, and
keeps the run's own output from being rewritten. Measured with codex 0.163 and 0.169: a denied path is an empty
one without permissions to the agent's commands, whether it exists or not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job

PROFILE = "codex-runner"

# Where credentials lie that an agent has no business with. Files that builds need to be able to read (~/.npmrc,
# ~/.m2/settings.xml, ~/.gradle) are left alone, and so is ~/.codex as a whole, since codex may be installed there.
CREDENTIAL_PATHS = (
    "/run/secrets",
    "~/.aws",
    "~/.azure",
    "~/.cargo/credentials.toml",
    "~/.codex/.credentials.json",
    "~/.codex/auth.json",
    "~/.codex/config.toml",
    "~/.codex/history.jsonl",
    "~/.codex/sessions",
    "~/.codex/shell_snapshots",
    "~/.config/gcloud",
    "~/.config/gh",
    "~/.config/git/credentials",
    "~/.config/glab-cli",
    "~/.docker/config.json",
    "~/.git-credentials",
    "~/.gnupg",
    "~/.kube",
    "~/.local/share/keyrings",
    "~/.netrc",
    "~/.password-store",
    "~/.pypirc",
    "~/.ssh",
    "~/.terraform.d/credentials.tfrc.json",
    "~/.vault-token",
)

# What of it is looked for on a host, with the folders around it: see `_credential_paths`.
LOOKED_FOR = tuple(
    sorted(
        {
            "/".join(names[:depth])
            for names in (path.split("/") for path in CREDENTIAL_PATHS if path.startswith("~/"))
            for depth in range(2, len(names) + 1)
        }
    )
)

_BASES = {Sandbox.READ_ONLY: ":read-only", Sandbox.WORKSPACE_WRITE: ":workspace"}
_INHERIT = ("core", "none")
_NO_PATH = re.compile(r"[*?\[\ud800-\udfff]")


def check_settings(job: Job) -> None:
    """Refuse what the job says to codex that would undo what is promised of its sandbox. ConfigurationError."""
    settings = job.codex.config
    mode = settings.get("sandbox_mode", job.sandbox.value)
    if mode != job.sandbox.value:
        raise ConfigurationError(
            f"codex.config.sandbox_mode = {mode!r}, and the job's `sandbox` is {job.sandbox.value!r}.",
            remedy="Set the job's `sandbox`; it is written to codex's configuration.",
        )
    inherit = _table(settings, "shell_environment_policy").get("inherit", _INHERIT[0])
    if inherit not in _INHERIT:
        raise ConfigurationError(
            f"codex.config.shell_environment_policy.inherit = {inherit!r}: the agent would see codex's token.",
            remedy="Name what they need in `codex.config.shell_environment_policy.set`, with its value.",
        )
    if _table(settings, "features").get("shell_snapshot"):
        raise ConfigurationError(
            "codex.config.features.shell_snapshot = true: codex would write its environment into a file.",
            remedy="Leave it out.",
        )
    if settings.get("hooks") and "state" not in settings["hooks"]:
        raise ConfigurationError(
            "codex.config.hooks: codex skips hooks that nobody has reviewed, and says nothing of it.",
            remedy="Give each one's `trusted_hash` in `codex.config.hooks.state`, or use the workspace's policy.",
        )
    profile = settings.get("default_permissions")
    if profile == ":danger-full-access" and job.sandbox is not Sandbox.DANGER_FULL_ACCESS:
        raise ConfigurationError(
            f"codex.config.default_permissions = {profile!r}, and the job's `sandbox` is {job.sandbox.value!r}.",
            remedy="Set the job's `sandbox`.",
        )


def permissions(job: Job, install: Install, hidden: Sequence[str] = (), kept: Sequence[str] = ()) -> dict[str, Any]:
    """Return the tables of config.toml that make the profile: none for danger-full-access, where codex has no sandbox.

    `hidden` are paths on the host that the agent must not read beside the usual ones, `kept` those that it must not
    write. A profile that the job chooses for itself (`default_permissions`) gets the same denials below its own rules.
    """
    if job.sandbox is Sandbox.DANGER_FULL_ACCESS:
        return {}
    settings = job.codex.config
    chosen = settings.get("default_permissions", PROFILE)
    named = PROFILE if chosen.startswith(":") else chosen
    denied = [*_credential_paths(install), *map(_exact, (install.runs, *hidden))]
    rules: dict[str, Any] = {path: "deny" for path in denied if path}
    profile: dict[str, Any] = {}
    if chosen.startswith(":"):
        profile["extends"] = chosen
    elif chosen == PROFILE:
        profile["extends"] = _BASES[job.sandbox]
        if job.sandbox is Sandbox.WORKSPACE_WRITE:
            _translate(_table(settings, "sandbox_workspace_write"), profile, rules)
            rules |= {_exact(path): "read" for path in kept if path and not _within(job.cwd, path)}
    profile["filesystem"] = rules
    return {"default_permissions": named, "permissions": {named: profile}}


def _exact(path: str) -> str:
    """Return a path that a rule can name; ConfigurationError where codex would take it for a pattern, or for no text.

    `[1]` would match a folder `1`, and the file in the folder `[1]` be there to read.
    """
    if _NO_PATH.search(path):
        raise ConfigurationError(
            f"{show_path(path)}: codex's permissions cannot name this path (`*`, `?`, `[`, or no UTF-8), and so "
            "not keep the agent from it.",
            remedy="Rename the folder, or choose another: `output_dir`, the credential's `file`, XDG_STATE_HOME.",
        )
    return path


def _credential_paths(install: Install) -> list[str]:
    """Return where credentials lie on this host, as far as codex's sandbox can take it away.

    The sandbox fails, and every command with it, where two denials lie below one folder that is missing and writable,
    and where something is denied that is missing in the very folder in which the agent works.
    """
    if install.at_home:
        return [path for path in CREDENTIAL_PATHS if path not in install.absent]
    # A missing folder stands for all that could lie in it.
    paths = {*CREDENTIAL_PATHS, *install.absent}
    return sorted(path for path in paths if not any(path.startswith(f"{folder}/") for folder in install.absent))


def documents(job: Job, install: Install) -> dict[str, Any]:
    """Return what spares codex a search for instructions (AGENTS.md) where the host has none: nothing otherwise.

    Under a profile with denials codex looks for each of them with a process in a sandbox, 40 of them in 0.4 s at every
    start (0.169 on two cores).
    """
    if install.instructions or {"project_doc_max_bytes", "project_doc_fallback_filenames"} & job.codex.config.keys():
        return {}
    return {"project_doc_max_bytes": 0}


def _translate(old: Mapping[str, Any], profile: dict[str, Any], rules: dict[str, Any]) -> None:
    """Say in the profile's words what `sandbox_workspace_write` says: codex ignores that table beside a profile."""
    if old.get("network_access"):
        profile["network"] = {"enabled": True}
    rules |= dict.fromkeys(old.get("writable_roots", ()), "write")
    if old.get("exclude_tmpdir_env_var"):
        rules[":tmpdir"] = "read"
    if old.get("exclude_slash_tmp"):
        rules["/tmp"] = "read"  # noqa: S108 - the rule that takes it away


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _table(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name, {})
    return value if isinstance(value, dict) else {}

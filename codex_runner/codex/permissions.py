"""Permission profile: limits what the agent's commands may read and write more narrowly than codex's sandbox modes.

codex's read-only and workspace-write modes let the agent read every file that the user can read. The profile denies the
run directories (every run's prompt, transcript and configuration), the tombstones of discarded runs, the changes that
are kept for their delivery, and the usual places of credentials. It also protects the run's own output from being
rewritten. Measured with codex 0.163 and 0.169: the agent's commands see a denied path as an empty one without
permissions, whether it exists or not.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from codex_runner.codex.outside import rules as outside_rules
from codex_runner.codex.outside import within
from codex_runner.domain.change import show_path
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.job import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.host import Install
    from codex_runner.domain.job import Job

PROFILE = "codex-runner"

# Places of credentials that an agent does not need. Not denied: files that builds may need to read (~/.npmrc,
# ~/.m2/settings.xml, ~/.gradle), and ~/.codex as a whole, since codex may be installed there.
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

# The paths that preflight looks for on a host, with their parent folders: see `_credential_paths`.
LOOKED_FOR = tuple(
    sorted(
        {
            "/".join(names[:depth])
            for names in (path.split("/") for path in CREDENTIAL_PATHS if path.startswith("~/"))
            for depth in range(2, len(names) + 1)
        }
    )
)

# Folders beside the run directories.
_OF_STATE = ("discarded", "deliveries", "gates")

_BASES = {Sandbox.READ_ONLY: ":read-only", Sandbox.WORKSPACE_WRITE: ":workspace"}
_ALLOWED = {Sandbox.READ_ONLY: (":read-only",), Sandbox.WORKSPACE_WRITE: (":read-only", ":workspace")}
_INHERIT = ("core", "none")
_NO_PATH = re.compile(r"[*?\[\ud800-\udfff]")


def check_settings(job: Job) -> None:
    """Raise ConfigurationError if the job's `codex.config` would weaken its sandbox."""
    settings = job.codex.config
    if "projects" in settings:
        raise ConfigurationError(
            "codex.config.projects: a trusted project's own `.codex` folder would change the run's sandbox, programs "
            "and environment, and start them outside the sandbox.",
            remedy="Name the programs in `codex.config.mcp_servers`, and choose AGENTS.md and skills by the job's "
            "`instructions`.",
        )
    if "project_root_markers" in settings:
        raise ConfigurationError(
            "codex.config.project_root_markers: codex-runner looks for instructions and skills from the top of the git "
            "repository down, and codex must not look further.",
            remedy="Remove `codex.config.project_root_markers`.",
        )
    mode = settings.get("sandbox_mode", job.sandbox.value)
    if mode != job.sandbox.value:
        raise ConfigurationError(
            f"codex.config.sandbox_mode = {mode!r}, and the job's `sandbox` is {job.sandbox.value!r}.",
            remedy="Remove `codex.config.sandbox_mode`, and set only the job's `sandbox`.",
        )
    inherit = _table(settings, "shell_environment_policy").get("inherit", _INHERIT[0])
    if inherit not in _INHERIT:
        raise ConfigurationError(
            f"codex.config.shell_environment_policy.inherit = {inherit!r}: the agent would see codex's token.",
            remedy="Set what the agent needs in `codex.config.shell_environment_policy.set`, with its value.",
        )
    if _table(settings, "features").get("shell_snapshot"):
        raise ConfigurationError(
            "codex.config.features.shell_snapshot = true: codex would write its environment, with its token, into a "
            "file.",
            remedy="Remove `codex.config.features.shell_snapshot`.",
        )
    if settings.get("hooks") and "state" not in settings["hooks"]:
        raise ConfigurationError(
            "codex.config.hooks: codex skips hooks that are not marked as reviewed, without a warning.",
            remedy="Give each hook's `trusted_hash` in `codex.config.hooks.state`, or use the workspace's policy.",
        )
    _refuse_wider(job)


def _refuse_wider(job: Job) -> None:
    """Raise ConfigurationError if the job's own permission profile allows more than the job's `sandbox`."""
    if job.sandbox is Sandbox.DANGER_FULL_ACCESS:
        return
    settings, key = job.codex.config, "codex.config.default_permissions"
    chosen = settings.get("default_permissions", PROFILE)
    profiles = _table(settings, "permissions")
    seen: list[str] = []
    while not chosen.startswith(":"):
        if chosen in seen:
            raise ConfigurationError(f"codex.config.permissions.{chosen}.extends leads back to itself.")
        seen.append(chosen)
        profile = _table(profiles, chosen)
        if chosen == PROFILE and chosen == seen[0]:
            break  # the runner's own, with the job's rules on top
        chosen = profile.get("extends", ":read-only")
        key = f"codex.config.permissions.{seen[-1]}.extends"
    if chosen.startswith(":") and chosen not in _ALLOWED[job.sandbox]:
        raise ConfigurationError(
            f"{key} = {chosen!r}: allows more than the job's `sandbox` = {job.sandbox.value!r}, or is not known.",
            remedy="Set the job's `sandbox` to what the agent needs, or choose a narrower profile.",
        )
    if job.sandbox is not Sandbox.READ_ONLY:
        return
    for name in seen:
        profile = _table(profiles, name)
        written = [path for path, rule in _rules(_table(profile, "filesystem")) if rule not in {"read", "deny", "none"}]
        if written or _table(profile, "network").get("enabled"):
            what = f"filesystem.{written[0]!r}" if written else "network.enabled"
            raise ConfigurationError(
                f"codex.config.permissions.{name}.{what}: allows more than the job's `sandbox` = 'read-only'.",
                remedy="Set the job's `sandbox` to 'workspace-write', or remove the rule.",
            )


def _rules(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the rules of a `filesystem` table and of its nested tables (`":project_roots" = { "." = "write" }`)."""
    found: list[tuple[str, Any]] = []
    for path, rule in table.items():
        if isinstance(rule, dict):
            found += _rules(rule)
        else:
            found.append((path, rule))
    return found


def granted(job: Job) -> dict[str, Any]:
    """Return the rights that the job's own rules add to its `sandbox`, for run.json.

    `profile` is the permission profile's name, `write` are more writable paths, `network` is True with network access.
    """
    if job.sandbox is Sandbox.DANGER_FULL_ACCESS:
        return {"profile": None, "write": ["/"], "network": True}
    settings = job.codex.config
    chosen = settings.get("default_permissions", PROFILE)
    profiles = _table(settings, "permissions")
    named, write, network = chosen, set[str](), False
    if chosen in {PROFILE, *_BASES.values()}:
        named = PROFILE
        if job.sandbox is Sandbox.WORKSPACE_WRITE:
            old = _table(settings, "sandbox_workspace_write")
            write |= set(old.get("writable_roots", ()))
            network = bool(old.get("network_access"))
    seen: set[str] = set()
    while not chosen.startswith(":") and chosen not in seen:
        seen.add(chosen)
        profile = _table(profiles, chosen)
        write |= {path for path, rule in _rules(_table(profile, "filesystem")) if rule not in {"read", "deny", "none"}}
        network = network or bool(_table(profile, "network").get("enabled"))
        chosen = profile.get("extends", ":")
    return {"profile": named, "write": sorted(write), "network": network}


def writable(job: Job) -> list[str]:
    """Return the agent's writable paths beside `cwd`; `:tmpdir` is TMPDIR. The job's own profile may allow fewer."""
    settings = job.codex.config
    chosen = settings.get("default_permissions", PROFILE)
    old = _table(settings, "sandbox_workspace_write") if chosen == PROFILE else {}
    found = [] if old.get("exclude_slash_tmp") else ["/tmp"]  # noqa: S108 - codex's own
    found += [] if old.get("exclude_tmpdir_env_var") else [":tmpdir"]
    return found + [path for path in granted(job)["write"] if path not in found]


def permissions(job: Job, install: Install, hidden: Sequence[str] = (), kept: Sequence[str] = ()) -> dict[str, Any]:
    """Return the tables of config.toml with the profile. Returns {} for danger-full-access, which has no sandbox.

    `hidden` are more paths on the host that the agent must not read, `kept` those that it must not write. A profile
    that the job itself chooses (`default_permissions`) gets the same denials below its own rules.
    """
    if job.sandbox is Sandbox.DANGER_FULL_ACCESS:
        return {}
    settings = job.codex.config
    chosen = settings.get("default_permissions", PROFILE)
    named = PROFILE if chosen.startswith(":") else chosen
    state = posixpath.dirname(install.runs)
    beside = [f"{state}/{name}" for name in _OF_STATE] if state else []
    denied = [*_credential_paths(install), *map(_exact, (install.runs, *beside, *hidden))]
    rules: dict[str, Any] = {path: "deny" for path in denied if path}
    profile: dict[str, Any] = {}
    if chosen.startswith(":"):
        profile["extends"] = chosen
    elif chosen == PROFILE:
        profile["extends"] = _BASES[job.sandbox]
        if job.sandbox is Sandbox.WORKSPACE_WRITE:
            _translate(_table(settings, "sandbox_workspace_write"), profile, rules)
            rules |= {_exact(path): "read" for path in kept if path and not within(job.cwd, path)}
    if job.sandbox is Sandbox.WORKSPACE_WRITE and chosen != _BASES[Sandbox.READ_ONLY]:
        own = dict(_rules(_table(_table(_table(settings, "permissions"), named), "filesystem")))
        widen = chosen in {PROFILE, *_BASES.values()}
        rules |= {_exact(path): rule for path, rule in outside_rules(install.outside, own, widen=widen).items()}
        if rules.get(install.outside.home) == "write":
            # codex makes these read-only below each writable folder, and cannot deny what is missing there.
            rules |= {path: "read" for path in ("~/.codex", "~/.aws") if path in install.absent and path in rules}
    profile["filesystem"] = rules
    return {"default_permissions": named, "permissions": {named: profile}}


def _exact(path: str) -> str:
    """Return the path. Raises ConfigurationError if codex would read it as a pattern, or if it is not UTF-8.

    `[1]` would match a folder `1`, and the agent could read the files in the folder `[1]`.
    """
    if _NO_PATH.search(path):
        raise ConfigurationError(
            f"{show_path(path)}: codex's permissions cannot name this path (it has `*`, `?` or `[`, or is not UTF-8), "
            "so they cannot protect it from the agent.",
            remedy="Rename the folder, or choose another: `output_dir`, the credential's `file`, XDG_STATE_HOME.",
        )
    return path


def _credential_paths(install: Install) -> list[str]:
    """Return the places of credentials on this host that codex's sandbox can deny.

    The sandbox fails, and every command with it, if two denials lie below one missing folder in a writable place. It
    also fails if a denied path is missing directly in the folder in which the agent works.
    """
    if install.at_home:
        return [path for path in CREDENTIAL_PATHS if path not in install.absent]
    # A denied missing folder covers all paths below it.
    paths = {*CREDENTIAL_PATHS, *install.absent}
    return sorted(path for path in paths if not any(path.startswith(f"{folder}/") for folder in install.absent))


def denied_below_writable(job: Job, install: Install) -> list[str]:
    """Return the places of credentials for which codex's sandbox makes empty files while they are missing.

    It does so below the agent's writable folders only: for a home in one of these, such as /tmp.
    """
    home = install.outside.home
    if job.sandbox is not Sandbox.WORKSPACE_WRITE or not home or install.at_home:
        return []
    return [f"{home.rstrip('/')}/{path[2:]}" for path in _credential_paths(install) if path.startswith("~/")]


def _translate(old: Mapping[str, Any], profile: dict[str, Any], rules: dict[str, Any]) -> None:
    """Translate `sandbox_workspace_write` into rules of the profile: codex ignores that table if there is a profile."""
    if old.get("network_access"):
        profile["network"] = {"enabled": True}
    rules |= dict.fromkeys(old.get("writable_roots", ()), "write")
    if old.get("exclude_tmpdir_env_var"):
        rules[":tmpdir"] = "read"
    if old.get("exclude_slash_tmp"):
        rules["/tmp"] = "read"  # noqa: S108 - the rule that takes it away


def _table(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = settings.get(name, {})
    return value if isinstance(value, dict) else {}

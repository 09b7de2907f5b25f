"""What codex is told of its sandbox, and what a job may not say about it."""

from dataclasses import replace

import pytest

from codex_runner.codex.command import config
from codex_runner.codex.permissions import CREDENTIAL_PATHS, check_settings, granted
from codex_runner.codex.survey import Survey
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Install
from codex_runner.domain.job import CodexSettings, Job, Sandbox

INSTALL = Install("/usr/bin/codex", "0.169.0", frozenset({"shell_snapshot"}), runs="/state/runs")


def job(sandbox=Sandbox.READ_ONLY, **settings):
    return Job("docs", "hi", "/work", sandbox=sandbox, codex=CodexSettings(config=settings))


def written(job, install=INSTALL, **more):
    return config(job, "a-run", 1, install, survey=Survey(at=job.cwd, root=job.cwd), **more)


@pytest.mark.parametrize(
    ("sandbox", "base"), [(Sandbox.READ_ONLY, ":read-only"), (Sandbox.WORKSPACE_WRITE, ":workspace")]
)
def test_every_sandbox_denies_what_is_private(sandbox, base):
    told = written(job(sandbox), hidden=["/etc/token"])
    assert told["sandbox_mode"] == sandbox.value
    profile = told["permissions"][told["default_permissions"]]
    assert profile["extends"] == base
    denied = {path for path, access in profile["filesystem"].items() if access == "deny"}
    private = {f"/state/{name}" for name in ("runs", "discarded", "deliveries", "gates")}
    assert denied == {*CREDENTIAL_PATHS, *private, "/etc/token"}


def test_no_profile_where_there_is_no_sandbox():
    told = written(job(Sandbox.DANGER_FULL_ACCESS))
    assert told["sandbox_mode"] == "danger-full-access"
    assert "permissions" not in told
    assert "default_permissions" not in told


@pytest.mark.parametrize(("kept", "rule"), [("/work/out", "read"), ("/work", None), ("/", None)])
def test_the_output_is_kept_and_the_workspace_stays_writable(kept, rule):
    rules = written(job(Sandbox.WORKSPACE_WRITE), kept=[kept])["permissions"]["codex-runner"]["filesystem"]
    assert rules.get(kept) == rule


@pytest.mark.parametrize("path", ["/srv/app[1]/token", "/srv/a*", "/srv/a?", "/srv/caf\udce9"])
@pytest.mark.parametrize("what", ["hidden", "kept", "runs"])
def test_a_path_that_no_rule_can_name_is_refused(what, path):
    """Codex reads `[1]` as a pattern: the denied file would be there to read."""
    install = replace(INSTALL, runs=path) if what == "runs" else INSTALL
    named = {} if what == "runs" else {what: [path]}
    with pytest.raises(ConfigurationError, match="cannot name this path"):
        written(job(Sandbox.WORKSPACE_WRITE), install, **named)


def test_the_old_words_for_the_workspace_are_translated():
    old = {"network_access": True, "writable_roots": ["/cache"], "exclude_slash_tmp": True}
    profile = written(job(Sandbox.WORKSPACE_WRITE, sandbox_workspace_write=old))["permissions"]["codex-runner"]
    assert profile["network"] == {"enabled": True}
    assert (profile["filesystem"]["/cache"], profile["filesystem"]["/tmp"]) == ("write", "read")


def test_a_job_changes_a_rule():
    own = {"codex-runner": {"filesystem": {"~/.kube": "read"}}}
    rules = written(job(permissions=own))["permissions"]["codex-runner"]["filesystem"]
    assert (rules["~/.kube"], rules["~/.ssh"]) == ("read", "deny")


def test_a_profile_of_the_jobs_own_gets_the_denials_too():
    told = written(job(default_permissions="mine", permissions={"mine": {"filesystem": {":root": "read"}}}))
    assert told["default_permissions"] == "mine"
    rules = told["permissions"]["mine"]["filesystem"]
    assert (rules[":root"], rules["~/.ssh"], rules["/state/runs"]) == ("read", "deny", "deny")


@pytest.mark.parametrize(
    "settings",
    [
        {"sandbox_mode": "danger-full-access"},
        {"sandbox_mode": "workspace-write"},
        {"default_permissions": ":danger-full-access"},
        {"shell_environment_policy": {"inherit": "all"}},
        {"features": {"shell_snapshot": True}},
    ],
)
def test_what_would_undo_a_promise_is_refused(settings):
    with pytest.raises(ConfigurationError) as refused:
        check_settings(job(**settings))
    assert next(iter(settings)) in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    "settings",
    [
        {"sandbox_mode": "read-only"},
        {"shell_environment_policy": {"inherit": "none"}},
        {"features": {"apps": True}},
        {},
    ],
)
def test_what_is_harmless_is_not(settings):
    check_settings(job(**settings))


READ_ONLY = {"codex-runner": {"filesystem": {"/opt": "read", "~/.npmrc": "deny"}}}
WRITES = {"mine": {"extends": ":read-only", "filesystem": {"/opt": "write"}}}
NESTED = {"mine": {"filesystem": {":project_roots": {".": "write"}}}}
CHAIN = {"mine": {"extends": "other"}, "other": {"extends": ":workspace"}}
LOOP = {"mine": {"extends": "other"}, "other": {"extends": "mine"}}
NETWORK = {"mine": {"extends": ":read-only", "network": {"enabled": True}}}


@pytest.mark.parametrize(
    ("sandbox", "chosen", "profiles", "words"),
    [
        (Sandbox.READ_ONLY, ":workspace", {}, "default_permissions = ':workspace'"),
        (Sandbox.READ_ONLY, ":danger-full-access", {}, "default_permissions"),
        (Sandbox.WORKSPACE_WRITE, ":danger-full-access", {}, "default_permissions"),
        (Sandbox.WORKSPACE_WRITE, ":something-new", {}, "or is not known"),
        (Sandbox.READ_ONLY, "mine", WRITES, "permissions.mine.filesystem.'/opt'"),
        (Sandbox.READ_ONLY, "mine", NESTED, "permissions.mine.filesystem.'.'"),
        (Sandbox.READ_ONLY, "mine", CHAIN, "permissions.other.extends = ':workspace'"),
        (Sandbox.READ_ONLY, "mine", LOOP, "leads back to itself"),
        (Sandbox.READ_ONLY, "mine", NETWORK, "network.enabled"),
        (Sandbox.READ_ONLY, None, {"codex-runner": {"filesystem": {"/opt": "write"}}}, "codex-runner.filesystem"),
    ],
)
def test_a_profile_that_allows_more_than_the_sandbox_is_refused(sandbox, chosen, profiles, words):
    settings = {"permissions": profiles, **({} if chosen is None else {"default_permissions": chosen})}
    with pytest.raises(ConfigurationError) as refused:
        check_settings(job(sandbox, **settings))
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("sandbox", "settings", "shown"),
    [
        (Sandbox.READ_ONLY, {}, {"profile": "codex-runner", "write": [], "network": False}),
        (Sandbox.READ_ONLY, {"permissions": READ_ONLY}, {"profile": "codex-runner", "write": [], "network": False}),
        (
            Sandbox.WORKSPACE_WRITE,
            {"sandbox_workspace_write": {"writable_roots": ["/cache"], "network_access": True}},
            {"profile": "codex-runner", "write": ["/cache"], "network": True},
        ),
        (
            Sandbox.WORKSPACE_WRITE,
            {"default_permissions": "mine", "permissions": {**WRITES}},
            {"profile": "mine", "write": ["/opt"], "network": False},
        ),
        (Sandbox.DANGER_FULL_ACCESS, {}, {"profile": None, "write": ["/"], "network": True}),
    ],
)
def test_what_a_profile_allows_is_on_record(sandbox, settings, shown):
    check_settings(job(sandbox, **settings))
    assert granted(job(sandbox, **settings)) == shown

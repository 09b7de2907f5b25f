"""`delivery` and `gate` of a job: which keys belong together, and which names its texts may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex_runner.domain.credential import CredentialSource
from codex_runner.domain.delivery import ForgeKind, IfUnchanged
from codex_runner.domain.delivery_spec import IfOpen, Signing
from codex_runner.domain.job import Sandbox
from codex_runner.engine.prompt import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codex_runner.domain.delivery_spec import DeliverySpec

OWN_NAMES = frozenset(("SUMMARY", "CHANGES", "RUN_LINK", "WORKFLOW", "JOB", "RUN"))
"""The names that the runner fills by itself in the texts of a delivery."""
_OF_BRANCHES = frozenset(("WORKFLOW", "JOB"))
"""Those that are the same in each run: a branch whose name changes is a new pull request each night."""

# Keys that say something of pull requests, which a plain remote has not.
_OF_PULLS = ("api", "ca_file", "proxy", "title", "body_file", "draft", "labels", "reviewers", "assignees", "reopen")


def delivery_problems(job: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys of a whole job that contradict each other or lack another, each with its message."""
    delivery, gate = job.get("delivery"), job.get("gate")
    if delivery is not None:
        yield from ((("delivery", *path), message) for path, message in _delivery(delivery))
        if job.get("sandbox", Sandbox.READ_ONLY) == Sandbox.READ_ONLY:
            yield ("delivery",), 'has nothing to deliver: with `sandbox = "read-only"` the agent changes no file'
    if gate is not None:
        if not gate.keys() & {"unless_changed", "if_open", "command"}:
            yield ("gate",), "decides nothing: set `unless_changed`, `if_open` or `command`"
        elif gate.get("unless_changed") == [] and not gate.keys() & {"if_open", "command"}:
            yield ("gate", "unless_changed"), "names no file, so the gate decides nothing: name one, or leave it out"
        if gate.get("if_open", IfOpen.GO) != IfOpen.GO:
            if delivery is None:
                yield ("gate", "if_open"), "has no effect without `delivery`, which opens pull requests"
            elif delivery.get("target") == ForgeKind.GIT:
                yield ("gate", "if_open"), 'has no effect with `target = "git"`: a plain remote has no pull requests'


def _delivery(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    target, credential = table.get("target"), table.get("credential")
    if credential is not None:
        yield from ((("credential", *path), message) for path, message in _credential(credential))
    elif target in (ForgeKind.GITHUB, ForgeKind.GITLAB):
        yield ("credential",), f'missing: with `target = "{target}"`, the runner needs a token to open a pull request'
    if target == ForgeKind.GIT:
        for key in (key for key in _OF_PULLS if key in table):
            yield (key,), 'has no effect with `target = "git"`: a plain remote has no pull requests and no API'
        if table.get("if_unchanged") == IfUnchanged.CLOSE:
            yield ("if_unchanged",), 'must be skip with `target = "git"`: a plain remote has no pull requests to close'
    if table.get("signing") == Signing.REQUIRED:
        if target == ForgeKind.GIT:
            yield ("signing",), 'must be auto or off with `target = "git"`: a plain remote signs no commits'
        elif "author" in table:
            yield (
                ("author",),
                'has no effect with `signing = "required"`: the forge makes the token\'s account the author',
            )


def _credential(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    source = table.get("source", CredentialSource.VAULT)
    needed = {
        CredentialSource.VAULT: ("path", "the token's path in Vault, such as acme/app/forge"),
        CredentialSource.ENV: ("variable", "the variable that holds the token, such as GITHUB_TOKEN"),
        CredentialSource.FILE: ("file", "the file that holds the token"),
    }
    key, what = needed[CredentialSource(source)]
    if key in table:
        return
    other = next((each for each, (name, _) in needed.items() if name in table), None)
    hint = "" if other is None else f'; with `{needed[other][0]}`, set `source = "{other}"`'
    yield (key,), f"missing: {what}{hint}"


def unknown_names(spec: DeliverySpec, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each key of `spec` whose text names something that nothing fills, with the message."""
    texts = {"title": spec.title, "commit_message": spec.commit_message, "body_file": spec.body or ""}
    for key, text in texts.items():
        if spare := sorted(names(text) - OWN_NAMES - variables.keys()):
            yield key, _nothing_fills(spare, sorted(OWN_NAMES))
    if spare := sorted(names(spec.branch) - _OF_BRANCHES - variables.keys()):
        yield "branch", _nothing_fills(spare, sorted(_OF_BRANCHES))


def _nothing_fills(spare: list[str], known: list[str]) -> str:
    named = ", ".join(f"{{{{{name}}}}}" for name in spare)
    return f"names {named}, which nothing fills; known here: {', '.join(known)}, and each --var"

"""GitHub's GraphQL at the small forge: the viewer, createCommitOnBranch, updateRefs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from codex_runner.demo import forge_shapes as shapes
from codex_runner.demo.forge_git import NONE, ForgeGitError
from codex_runner.demo.forge_state import json_reply

if TYPE_CHECKING:
    from codex_runner.demo.forge_project import ForgeProject
    from codex_runner.demo.forge_state import ForgeReply, Token

_HEADS = "refs/heads/"


def answer_graphql(project: ForgeProject, token: Token, document: Any) -> ForgeReply:
    """Answer a query. Its text tells which of the three it is; a test holds the texts against GitHub's schema."""
    query = document.get("query", "") if isinstance(document, dict) else ""
    if "viewer" in query:
        return json_reply(200, {"data": {"viewer": {"login": token.login}}})
    mutation = next((name for name in _MUTATIONS if name in query), None)
    if mutation is None:
        return json_reply(200, {"errors": [{"message": "A query attribute must be specified and must be a string."}]})
    if "contents" not in token.rights:
        return _error(mutation, "FORBIDDEN", "Resource not accessible by integration")
    reply: ForgeReply = _MUTATIONS[mutation](project, token, document["variables"]["input"])
    return reply


def _create_commit(project: ForgeProject, token: Token, asked: dict[str, Any]) -> ForgeReply:
    name, repository = "createCommitOnBranch", project.repository
    branch = asked["branch"]["branchName"]
    tip = repository.tip(branch)
    if tip is None or asked["branch"]["repositoryNameWithOwner"].lower() != project.name.lower():
        return _error(name, "NOT_FOUND", f"No ref found with the name {branch!r}.")
    late, project.settings.unseen = project.settings.unseen > 0, max(0, project.settings.unseen - 1)
    if late or tip != asked["expectedHeadOid"]:
        return _error(
            name,
            "STALE_DATA",
            f'Expected branch to point to "{asked["expectedHeadOid"]}" but it did not.  Pull and try again.',
        )
    if rule := project.refusal(branch, tip, NONE):
        return _error(name, "UNPROCESSABLE", rule.message)
    changes = asked["fileChanges"]
    entries: list[tuple[str, str | None, str]] = [("100644", None, each["path"]) for each in changes["deletions"]]
    entries += [
        ("100644", repository.blob(base64.b64decode(each["contents"])), each["path"]) for each in changes["additions"]
    ]
    message = "\n\n".join(part for part in (asked["message"]["headline"], asked["message"].get("body", "")) if part)
    try:
        tree = repository.tree(f"{tip}^{{tree}}", entries)
        commit = repository.make_commit(tree, [tip], message)
        repository.move(branch, commit, tip)
    except ForgeGitError as error:
        return _error(name, "UNPROCESSABLE", str(error))
    if token.signs:
        project.signed.add(commit)
    project.settle()
    return json_reply(200, {"data": {name: {"commit": {"oid": commit}}}})


def _update_refs(project: ForgeProject, _token: Token, asked: dict[str, Any]) -> ForgeReply:
    name, repository = "updateRefs", project.repository
    if asked["repositoryId"] != shapes.NODE:
        return _error(name, "NOT_FOUND", f"Could not resolve to a node with the global id of '{asked['repositoryId']}'")
    # One transaction: if one is refused, no branch moves.
    lines = ["start"]
    for update in asked["refUpdates"]:
        ref, after, before = update["name"], update["afterOid"], update.get("beforeOid")
        branch = ref.removeprefix(_HEADS)
        if after != NONE and repository.commit(after) is None:
            return _error(name, "NOT_FOUND", f"Could not resolve to a commit: {after}")
        tip = repository.tip(branch)
        rule = project.refusal(branch, tip, after)
        if rule or branch in project.settings.protected:
            message = rule.message if rule else f"Cannot update this protected ref: {ref}"
            return _error(name, "UNPROCESSABLE", message)
        if tip and after != NONE and not update.get("force") and not repository.is_behind(tip, after):
            return _error(name, "UNPROCESSABLE", f"Update is not a fast forward: {ref}")
        lines.append(f"update {ref} {after}" + (f" {before}" if before else ""))
    try:
        repository.git("update-ref", "--stdin", stdin="\n".join([*lines, "commit\n"]).encode())
    except ForgeGitError as error:
        return _error(name, "UNPROCESSABLE", str(error))
    project.settle()
    return json_reply(200, {"data": {name: {"clientMutationId": None}}})


_MUTATIONS = {"createCommitOnBranch": _create_commit, "updateRefs": _update_refs}


def _error(path: str, kind: str, message: str) -> ForgeReply:
    error = {"type": kind, "path": [path], "locations": [{"line": 2, "column": 3}], "message": message}
    return json_reply(200, {"data": {path: None}, "errors": [error]})

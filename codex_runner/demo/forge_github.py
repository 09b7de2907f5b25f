"""GitHub's API at the small forge: REST, with its refusals, limits and pages."""

from __future__ import annotations

import base64
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from codex_runner.demo import forge_shapes as shapes
from codex_runner.demo.forge_git import ForgeGitError
from codex_runner.demo.forge_graphql import answer_graphql
from codex_runner.demo.forge_state import Pull, Refusal, json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.demo.forge_project import ForgeProject
    from codex_runner.demo.forge_state import ForgeReply, Request, Token

_BODY = 65_536  # characters
_STRANGERS = "Reviews may only be requested from collaborators. One or more of the"
_DOCS = "https://docs.github.com/rest"
_MODES = {"100644", "100755", "040000", "160000", "120000"}
_NEEDS = {"contents": "contents=write", "pulls": "pull_requests=write", "issues": "issues=write; pull_requests=write"}


def refuse(status: int, message: str, *errors: Mapping[str, str], **headers: str) -> Refusal:
    """Return a refusal in GitHub's shape."""
    document: dict[str, Any] = {"message": message, "documentation_url": _DOCS, "status": str(status)}
    if errors:
        document["errors"] = list(errors)
    return Refusal(json_reply(status, document, **headers))


class GitHubApi:
    """Answers below /api/v3, and /api/graphql."""

    def __init__(self, project: ForgeProject, tokens: Mapping[str, Token]) -> None:
        """Serve one project."""
        self._project, self._tokens = project, tokens
        self._created: deque[float] = deque()

    def answer(self, request: Request) -> ForgeReply:
        """Return the reply. The headers of the limits are in each."""
        try:
            token = self._token(request)
            self._limit(request)
            reply = self._route(request, token)
        except Refusal as refusal:
            reply = refusal.reply
        settings = self._project.settings
        limits = {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": str(settings.remaining),
            "x-ratelimit-used": str(5000 - settings.remaining),
            "x-ratelimit-reset": str(int(time.time()) + 1800),
            "x-ratelimit-resource": "core",
        }
        return type(reply)(reply.status, reply.body, {**limits, **reply.headers})

    def _token(self, request: Request) -> Token:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self._tokens.get(value) if scheme.lower() in {"bearer", "token"} else None
        if token is None or token.job:
            raise refuse(401, "Bad credentials" if value else "Requires authentication")
        return token

    def _limit(self, request: Request) -> None:
        settings = self._project.settings
        if settings.remaining <= 0:
            raise refuse(403, "API rate limit exceeded for installation ID 1.")
        settings.remaining -= 1
        if request.method == "GET":
            return
        now = settings.now()
        while self._created and self._created[0] <= now - 60:
            self._created.popleft()
        if len(self._created) >= settings.creations:
            raise refuse(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                retry_after="60",
            )
        self._created.append(now)

    def _route(self, request: Request, token: Token) -> ForgeReply:
        if request.path == "/api/graphql":
            return answer_graphql(self._project, token, request.document)
        path = request.path.removeprefix("/api/v3")
        if path == "/installation/repositories" and token.signs:
            own = shapes.repository(self._project, push="contents" in token.rights)
            return json_reply(200, {"total_count": 1, "repositories": [own]})
        match = re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", path)
        if match is None or match[1].lower() != self._project.name.lower() or not token.rights:
            raise refuse(404, "Not Found")
        for method, pattern, right, name in _ROUTES:
            found = re.fullmatch(pattern, match[2] or "")
            if found and method == request.method:
                self._allow(token, right)
                reply: ForgeReply = getattr(self, name)(request, token, *found.groups())
                return reply
        raise refuse(404, "Not Found")

    def _allow(self, token: Token, right: str) -> None:
        # Labels and assignees of a pull request need the one or the other.
        if right and right not in token.rights and not (right == "issues" and "pulls" in token.rights):
            kind = "integration" if token.login.endswith("[bot]") else "personal access token"
            raise refuse(403, f"Resource not accessible by {kind}", x_accepted_github_permissions=_NEEDS[right])

    # --- the repository and its objects -----------------------------------------------------------------------------

    def _repository(self, _request: Request, token: Token) -> ForgeReply:
        headers = {} if token.scopes is None else {"x_oauth_scopes": token.scopes}
        return json_reply(200, shapes.repository(self._project, push="contents" in token.rights), **headers)

    def _ref(self, _request: Request, _token: Token, branch: str) -> ForgeReply:
        tip = self._project.repository.tip(branch)
        if tip is None:
            raise refuse(404, "Not Found")
        return json_reply(200, shapes.ref(self._project, branch, tip))

    def _branch(self, _request: Request, _token: Token, branch: str) -> ForgeReply:
        tip = self._project.repository.tip(branch)
        if tip is None:
            raise refuse(404, "Branch not found")
        protected = branch in self._project.settings.protected
        return json_reply(200, {"name": branch, "commit": {"sha": tip}, "protected": protected})

    def _rules(self, _request: Request, _token: Token, branch: str) -> ForgeReply:
        protected = branch in self._project.settings.protected
        return json_reply(200, [{"type": "pull_request"}] if protected else [])

    def _commit(self, _request: Request, _token: Token, oid: str) -> ForgeReply:
        found = self._project.repository.commit(oid)
        if found is None:
            raise refuse(404, "Not Found")
        return json_reply(200, shapes.commit(self._project, found))

    def _make_blob(self, request: Request, _token: Token) -> ForgeReply:
        asked = _asked(request)
        content = asked.get("content", "")
        data = base64.b64decode(content) if asked.get("encoding") == "base64" else content.encode()
        oid = self._project.repository.blob(data)
        return json_reply(201, {"sha": oid, "url": f"{shapes.api_url(self._project)}/git/blobs/{oid}"})

    def _make_tree(self, request: Request, _token: Token) -> ForgeReply:
        asked, repository = _asked(request), self._project.repository
        entries: list[tuple[str, str | None, str]] = []
        for entry in asked.get("tree", []):
            if entry.get("mode") not in _MODES or ("sha" in entry) == ("content" in entry):
                raise refuse(422, "Must supply a valid tree.mode, and either tree.sha or tree.content")
            oid = entry["sha"] if "sha" in entry else repository.blob(entry["content"].encode())
            if entry["mode"] != "160000" and oid is not None and not repository.has(oid):
                raise refuse(422, "tree.sha " + oid + " is not a valid blob")
            entries.append((entry["mode"], oid, entry["path"]))
        try:
            oid = repository.tree(asked["base_tree"], entries)
        except ForgeGitError as error:
            raise refuse(422, f"GitRPC::BadObjectState: {error}") from None
        url = f"{shapes.api_url(self._project)}/git/trees/{oid}"
        return json_reply(201, {"sha": oid, "url": url, "truncated": False, "tree": []})

    def _make_commit(self, request: Request, token: Token) -> ForgeReply:
        asked, repository = _asked(request), self._project.repository
        if not repository.has(asked["tree"]):
            raise refuse(422, "Tree SHA does not exist")
        oid = repository.make_commit(asked["tree"], asked.get("parents", []), asked["message"])
        if token.signs and "author" not in asked:
            self._project.signed.add(oid)
        found = repository.commit(oid)
        assert found is not None  # noqa: S101 - it has just been made
        return json_reply(201, shapes.commit(self._project, found))

    # --- pull requests ----------------------------------------------------------------------------------------------

    def _pulls(self, request: Request, _token: Token) -> ForgeReply:
        query, project = request.query, self._project
        found = sorted(project.pulls, key=lambda pull: pull.number, reverse=query.get("direction", "desc") == "desc")
        owner, colon, branch = query.get("head", "").partition(":")
        if colon:  # otherwise GitHub ignores it
            found = [pull for pull in found if (owner.lower(), branch) == (project.owner.lower(), pull.branch)]
        if (state := query.get("state", "open")) != "all":
            found = [pull for pull in found if pull.state == state]
        size, page = min(int(query.get("per_page", "30")), 100), int(query.get("page", "1"))
        listed = [shapes.pull(project, pull, whole=False) for pull in found[(page - 1) * size : page * size]]
        if page * size >= len(found):
            return json_reply(200, listed)
        words = urlencode({**query, "page": page + 1})
        return json_reply(200, listed, link=f'<{shapes.api_url(project)}/pulls?{words}>; rel="next"')

    def _open(self, request: Request, token: Token) -> ForgeReply:
        asked, project = _asked(request), self._project
        settings, repository = project.settings, project.repository
        branch, base = asked["head"].removeprefix(f"{project.owner}:"), asked["base"]
        if token.login == "github-actions[bot]" and not settings.actions_open:
            raise refuse(403, "GitHub Actions is not permitted to create or approve pull requests.")
        if settings.unresolved > 0:
            settings.unresolved -= 1
            raise _invalid(message="Could not resolve to a node with the global id of 'PR_kwDOSmall'.")
        tip = repository.tip(branch)
        for field, missing in (("head", tip is None), ("base", repository.tip(base) is None)):
            if missing:
                raise _invalid(field=field, code="invalid")
        if project.open_pull(branch, base) is not None:
            raise _invalid(message=f"A pull request already exists for {project.owner}:{branch}.")
        if repository.contains(base, tip or ""):
            raise _invalid(message=f"No commits between {base} and {branch}")
        if asked.get("draft") and not settings.drafts:
            raise refuse(422, "Draft pull requests are not supported in this repository.")
        self._check_text(asked)
        body, draft = asked.get("body") or "", bool(asked.get("draft"))
        pull = project.add(Pull(0, branch, base, asked["title"], token.login, body=body, draft=draft))
        return json_reply(201, shapes.pull(project, pull, whole=True))

    def _pull(self, _request: Request, _token: Token, number: str) -> ForgeReply:
        return json_reply(200, shapes.pull(self._project, self._found(number), whole=True))

    def _change(self, request: Request, _token: Token, number: str) -> ForgeReply:
        asked, pull = _asked(request), self._found(number)
        self._check_text(asked)
        pull.title, pull.body = asked.get("title", pull.title), asked.get("body", pull.body)
        if "state" in asked and not pull.merged:
            pull.state = asked["state"]
        return json_reply(200, shapes.pull(self._project, pull, whole=True))

    def _label(self, request: Request, _token: Token, number: str) -> ForgeReply:
        pull, names = self._found(number), _asked(request)["labels"]
        known = self._project.settings
        if not known.new_labels and (missing := [name for name in names if name not in known.labels]):
            raise refuse(
                422, "Validation Failed", {"resource": "Label", "field": "name", "code": "invalid", "value": missing[0]}
            )
        known.labels |= {*names}
        pull.labels += [name for name in names if name not in pull.labels]
        return json_reply(200, [shapes.label(self._project, name) for name in pull.labels])

    def _assign(self, request: Request, _token: Token, number: str) -> ForgeReply:
        pull = self._found(number)
        known = self._project.settings.users  # GitHub leaves out the others in silence
        pull.assignees += [
            name for name in _asked(request)["assignees"] if name in known and name not in pull.assignees
        ]
        return json_reply(201, shapes.issue(self._project, pull))

    def _review(self, request: Request, token: Token, number: str) -> ForgeReply:
        pull, asked, known = self._found(number), _asked(request), self._project.settings
        people, teams = asked.get("reviewers", []), asked.get("team_reviewers", [])
        if pull.author in people:
            raise refuse(422, "Review cannot be requested from pull request author.")
        if "teams" not in token.rights and teams:
            raise refuse(422, f"{_STRANGERS} teams you specified is not a collaborator of {self._project.name}.")
        if not (known.users.issuperset(people) and known.teams.issuperset(teams)):
            raise refuse(422, f"{_STRANGERS} users or teams you specified is not a collaborator.")
        pull.reviewers += [name for name in people if name not in pull.reviewers]
        pull.teams += [name for name in teams if name not in pull.teams]
        return json_reply(201, shapes.pull(self._project, pull, whole=False))

    def _found(self, number: str) -> Pull:
        pull = self._project.pull(int(number))
        if pull is None:
            raise refuse(404, "Not Found")
        return pull

    def _check_text(self, asked: Mapping[str, Any]) -> None:
        if len(asked.get("body") or "") > _BODY:
            raise _invalid(field="body", message=f"body is too long (maximum is {_BODY} characters)")
        if not asked.get("title", "x").strip():
            raise _invalid(field="title", code="missing_field")


_ROUTES = (
    ("GET", "", "", "_repository"),
    ("GET", "/git/ref/heads/(.+)", "", "_ref"),
    ("GET", "/branches/(.+)", "", "_branch"),
    ("GET", "/rules/branches/(.+)", "", "_rules"),
    ("GET", "/git/commits/([0-9a-f]+)", "", "_commit"),
    ("POST", "/git/blobs", "contents", "_make_blob"),
    ("POST", "/git/trees", "contents", "_make_tree"),
    ("POST", "/git/commits", "contents", "_make_commit"),
    ("GET", "/pulls", "", "_pulls"),
    ("POST", "/pulls", "pulls", "_open"),
    ("GET", "/pulls/([0-9]+)", "", "_pull"),
    ("PATCH", "/pulls/([0-9]+)", "pulls", "_change"),
    ("POST", "/issues/([0-9]+)/labels", "issues", "_label"),
    ("POST", "/issues/([0-9]+)/assignees", "issues", "_assign"),
    ("POST", "/pulls/([0-9]+)/requested_reviewers", "pulls", "_review"),
)
"""Method, path below the repository, the right that it takes, and the method that answers."""


def _asked(request: Request) -> dict[str, Any]:
    document = request.document
    if not isinstance(document, dict):
        raise refuse(400, "Problems parsing JSON")
    return document


def _invalid(*, field: str = "", code: str = "custom", message: str = "") -> Refusal:
    error = {"resource": "PullRequest", "code": code}
    error |= {"field": field} if field else {}
    error |= {"message": message} if message else {}
    return refuse(422, "Validation Failed", error)

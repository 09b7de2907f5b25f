"""GitLab's API at the small forge: a project, its branches and merge requests, and the options of a push."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from codex_runner.demo.forge_state import Pull, Refusal, json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.demo.forge_project import ForgeProject
    from codex_runner.demo.forge_state import ForgeReply, Request, Token

_DESCRIPTION = 1_048_576  # characters
_DRAFT = re.compile(r"^\s*(\[draft\]|\(draft\)|draft:)\s*", re.IGNORECASE)
_DAY = "2026-01-31T04:00:00.000Z"
_PROJECT = 4711


def refuse(status: int, message: Any) -> Refusal:
    """Return a refusal in GitLab's shape."""
    return Refusal(json_reply(status, {"message": message}))


class GitLabApi:
    """Answers below /api/v4."""

    def __init__(self, project: ForgeProject, tokens: Mapping[str, Token]) -> None:
        """Serve one project."""
        self._project, self._tokens = project, tokens

    def answer(self, request: Request) -> ForgeReply:
        """Return the reply."""
        try:
            return self._route(request, self._token(request))
        except Refusal as refusal:
            return refusal.reply

    def _token(self, request: Request) -> Token:
        headers = request.headers
        given = headers.get("private-token") or headers.get("authorization", "").removeprefix("Bearer ")
        job = headers.get("job-token", "")
        token = self._tokens.get(given or job)
        if token is None or token.job != bool(job):
            raise refuse(401, "401 Unauthorized")
        if token.job and not (self._project.settings.job_reads and self._is_for_jobs(request)):
            raise refuse(404, "404 Project Not Found")  # GitLab knows no user then, and hides the project
        return token

    def _is_for_jobs(self, request: Request) -> bool:
        match [unquote(part) for part in request.path.removeprefix("/api/v4/").split("/")]:
            case ["projects", name, "merge_requests"] | ["projects", name, "merge_requests", _]:
                return request.method == "GET" and name in {self._project.name, str(_PROJECT)}
        return False

    def _route(self, request: Request, token: Token) -> ForgeReply:
        match [unquote(part) for part in request.path.removeprefix("/api/v4/").split("/")]:
            case ["personal_access_tokens", "self"]:
                return json_reply(200, _token_shape(token))
            case ["user"]:
                return json_reply(200, self._user(token.login))
            case ["users"]:
                known = self._project.settings.users & {request.query.get("username", "")}
                return json_reply(200, [self._user(name) for name in known])
            case ["projects"]:
                return json_reply(200, [self._shape(token)])
            case ["projects", name, *rest] if name in {self._project.name, str(_PROJECT)} and token.rights:
                return self._in_project(request, token, rest)
        raise refuse(404, "404 Project Not Found" if "/projects/" in request.path else "404 Not Found")

    def _in_project(self, request: Request, token: Token, rest: Sequence[str]) -> ForgeReply:
        match request.method, *rest:
            case ["GET"]:
                return json_reply(200, self._shape(token))
            case ["GET", "repository", "branches", branch]:
                tip = self._project.repository.tip(branch)
                if tip is None:
                    raise refuse(404, "404 Branch Not Found")
                protected = branch in self._project.settings.protected
                return json_reply(200, {"name": branch, "protected": protected, "commit": {"id": tip}})
            case ["GET", "merge_requests"]:
                return self._list(request)
            case ["GET", "merge_requests", number]:
                return json_reply(200, self._merge_request(self._found(number)))
        if "pulls" not in token.rights:
            raise refuse(403, "403 Forbidden")
        match request.method, *rest:
            case ["POST", "merge_requests"]:
                return self._open(request.document, token)
            case ["PUT", "merge_requests", number]:
                return self._change(self._found(number), request.document)
        raise refuse(404, "404 Not Found")

    def _list(self, request: Request) -> ForgeReply:
        query = request.query
        found = sorted(self._project.pulls, key=lambda pull: pull.number, reverse=query.get("sort", "desc") == "desc")
        if "source_branch" in query:
            found = [pull for pull in found if pull.branch == query["source_branch"]]
        if (state := query.get("state", "all")) != "all":
            found = [pull for pull in found if _state(pull) == state]
        size, page = min(int(query.get("per_page", "20")), 100), int(query.get("page", "1"))
        listed = [self._merge_request(pull) for pull in found[(page - 1) * size : page * size]]
        pages = {"x_page": str(page), "x_per_page": str(size), "x_total": str(len(found))}
        if page * size >= len(found):
            return json_reply(200, listed, x_next_page="", **pages)
        url = f"{self._project.url}{request.path}?page={page + 1}&per_page={size}"
        return json_reply(200, listed, x_next_page=str(page + 1), link=f'<{url}>; rel="next"', **pages)

    def _open(self, asked: Mapping[str, Any], token: Token) -> ForgeReply:
        branch, base = asked["source_branch"], asked["target_branch"]
        other = next((pull for pull in self._project.pulls if (pull.branch, pull.state) == (branch, "open")), None)
        if other is not None and other.base == base:
            raise refuse(409, [f"Another open merge request already exists for this source branch: !{other.number}"])
        for name, each in (("source_branch", branch), ("target_branch", base)):
            if self._project.repository.tip(each) is None:
                raise refuse(400, {name: ["does not exist"]})
        _check_text(asked)
        title = asked["title"]
        body, draft = asked.get("description") or "", bool(_DRAFT.match(title))
        pull = self._project.add(Pull(0, branch, base, title, token.login, body=body, draft=draft))
        return json_reply(201, self._merge_request(pull))

    def _change(self, pull: Pull, asked: Mapping[str, Any]) -> ForgeReply:
        _check_text(asked)
        if "title" in asked:
            pull.title, pull.draft = asked["title"], bool(_DRAFT.match(asked["title"]))
        pull.body = asked.get("description", pull.body)
        if asked.get("state_event") == "close" and pull.state == "open":
            pull.state = "closed"
        if "labels" in asked:
            pull.labels = []
        names = asked.get("labels", asked.get("add_labels", ""))
        for name in names if isinstance(names, list) else filter(None, names.split(",")):
            pull.labels += [] if name in pull.labels else [name]
        numbers = {self._number(name): name for name in self._project.settings.users}
        limit = 1 if self._project.settings.free_tier else None
        if "reviewer_ids" in asked:
            pull.reviewers = [numbers[each] for each in asked["reviewer_ids"] if each in numbers][:limit]
        if "assignee_ids" in asked:
            pull.assignees = [numbers[each] for each in asked["assignee_ids"] if each in numbers][:limit]
        return json_reply(200, self._merge_request(pull))

    def _found(self, number: str) -> Pull:
        pull = self._project.pull(int(number))
        if pull is None:
            raise refuse(404, "404 Not found")
        return pull

    def _shape(self, token: Token) -> dict[str, Any]:
        level = 30 if "contents" in token.rights else 20
        url = f"{self._project.url}/{self._project.name}"
        return {
            "id": _PROJECT,
            "path_with_namespace": self._project.name,
            "default_branch": "main",
            "visibility": "private" if self._project.settings.private else "public",
            "archived": self._project.settings.archived,
            "merge_requests_access_level": "enabled",
            "web_url": url,
            "http_url_to_repo": f"{url}.git",
            "permissions": {"project_access": {"access_level": level, "notification_level": 3}, "group_access": None},
        }

    def _merge_request(self, pull: Pull) -> dict[str, Any]:
        return {
            "id": 1000 + pull.number,
            "iid": pull.number,
            "project_id": _PROJECT,
            "source_project_id": _PROJECT,
            "target_project_id": _PROJECT,
            "title": pull.title,
            "description": pull.body,
            "state": _state(pull),
            "draft": pull.draft,
            "source_branch": pull.branch,
            "target_branch": pull.base,
            "sha": pull.tip,
            "labels": pull.labels,
            "author": self._user(pull.author),
            "reviewers": [self._user(name) for name in pull.reviewers],
            "assignees": [self._user(name) for name in pull.assignees],
            "created_at": _DAY,
            "merged_at": pull.merged_at if pull.merged else None,
            "web_url": f"{self._project.url}/{self._project.name}/-/merge_requests/{pull.number}",
        }

    def _user(self, name: str) -> dict[str, Any]:
        url = f"{self._project.url}/{name}"
        return {"id": self._number(name), "username": name, "name": name, "state": "active", "web_url": url}

    @staticmethod
    def _number(name: str) -> int:
        return sum(name.encode())


def follow_push(project: ForgeProject, login: str, branch: str, options: Sequence[str]) -> list[str]:
    """Obey the options of a push to a branch. Returns the lines that GitLab prints for them.

    Without `create`, no merge request is opened. One that is open is updated.
    """
    values = _options(options)
    if not values:
        return []
    pull = next((each for each in project.pulls if (each.branch, each.state) == (branch, "open")), None)
    problem = project.settings.option_error
    target = values.get("target", ["main"])[-1]
    if project.repository.tip(target) is None:
        problem = f"Target branch {project.name}:{target} does not exist"
    elif pull is None and "create" not in values:
        problem = f"A merge_request.create push option is required to create a merge request for branch {branch}"
    if problem:
        said = " ".join(f"'{option}'" for option in options)
        return ["WARNINGS:", f"Error encountered with push options {said}: {problem}"]
    if pull is None:
        pull = project.add(Pull(0, branch, "main", branch, login, assignees=[login]))
    _set(project, pull, values)
    return [f"View merge request for {branch}:", f"  {project.url}/{project.name}/-/merge_requests/{pull.number}"]


def _options(options: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each option for merge requests, as GitLab parses them: without blanks around."""
    values: dict[str, list[str]] = {}
    for option in options:
        namespace, _, rest = option.partition(".")
        name, _, value = rest.partition("=")
        if namespace == "merge_request":
            values.setdefault(name.strip(), []).append(value.strip())
    return values


def _set(project: ForgeProject, pull: Pull, values: Mapping[str, Sequence[str]]) -> None:
    for name, given in values.items():
        match name:
            case "target":
                pull.base = given[-1]
            case "title":
                pull.title, pull.draft = given[-1], bool(_DRAFT.match(given[-1]))
            case "description":
                pull.body = given[-1].replace("\\n", "\n")  # two characters become one
            case "label":
                pull.labels += [each for each in dict.fromkeys(given) if each not in pull.labels]
            case "assign":
                known = project.settings.users
                pull.assignees += [each for each in given if each in known and each not in pull.assignees]
    if "draft" in values and not pull.draft:
        pull.title, pull.draft = f"Draft: {pull.title}", True


def _state(pull: Pull) -> str:
    return "merged" if pull.merged else {"open": "opened"}.get(pull.state, pull.state)


def _token_shape(token: Token) -> dict[str, Any]:
    scopes = ["api", "write_repository"] if "pulls" in token.rights else ["read_api"]
    return {
        "id": 1,
        "name": token.login,
        "active": True,
        "revoked": False,
        "scopes": scopes,
        "expires_at": "2999-01-31",
    }


def _check_text(asked: Mapping[str, Any]) -> None:
    if len(asked.get("description") or "") > _DESCRIPTION:
        raise refuse(400, {"description": [f"is too long (maximum is {_DESCRIPTION} characters)"]})
    if "title" in asked and not asked["title"].strip():
        raise refuse(400, {"title": ["can't be blank"]})

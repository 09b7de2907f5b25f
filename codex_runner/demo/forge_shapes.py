"""The objects of GitHub's REST API, with all that its schema requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codex_runner.demo.forge_git import CommitObject
    from codex_runner.demo.forge_project import ForgeProject
    from codex_runner.demo.forge_state import Pull

NODE = "R_kgDOSmall"
_DAY = "2026-01-31T04:00:00Z"
_USER_ADDRESSES = "followers following gists starred subscriptions organizations repos events received_events"
_ADDRESSES = (
    "archive assignees blobs branches collaborators comments commits compare contents contributors deployments "
    "downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels "
    "languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags "
    "teams trees"
)
_COUNTS = "forks forks_count stargazers_count watchers watchers_count size open_issues open_issues_count"


def api_url(project: ForgeProject) -> str:
    """Return the address of the repository in the API."""
    return f"{project.url}/api/v3/repos/{project.name}"


def user(project: ForgeProject, login: str) -> dict[str, Any]:
    """Return a user."""
    url = f"{project.url}/api/v3/users/{login}"
    return {
        "login": login,
        "id": sum(login.encode()),
        "node_id": f"U_{login}",
        "avatar_url": f"{project.url}/avatars/{login}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{project.url}/{login}",
        **{f"{name}_url": f"{url}/{name}" for name in _USER_ADDRESSES.split()},
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }


def repository(project: ForgeProject, *, push: bool = True) -> dict[str, Any]:
    """Return the repository."""
    url, html = api_url(project), f"{project.url}/{project.name}"
    return {
        "id": 4711,
        "node_id": NODE,
        "name": project.name.partition("/")[2],
        "full_name": project.name,
        "owner": user(project, project.owner),
        "private": project.settings.private,
        "description": None,
        "fork": False,
        "url": url,
        "html_url": html,
        "clone_url": f"{html}.git",
        "git_url": f"{html}.git",
        "ssh_url": f"git@127.0.0.1:{project.name}.git",
        "svn_url": html,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "default_branch": "main",
        **{f"{name}_url": f"{url}/{name}" for name in _ADDRESSES.split()},
        **dict.fromkeys(_COUNTS.split(), 0),
        "network_count": 0,
        "subscribers_count": 0,
        **{
            f"has_{name}": name == "issues"
            for name in ("issues", "projects", "wiki", "pages", "downloads", "discussions")
        },
        "archived": project.settings.archived,
        "disabled": False,
        **dict.fromkeys(("pushed_at", "created_at", "updated_at"), _DAY),
        "permissions": {"admin": False, "maintain": False, "push": push, "triage": push, "pull": True},
    }


def ref(project: ForgeProject, branch: str, oid: str) -> dict[str, Any]:
    """Return a branch."""
    url = api_url(project)
    target = {"type": "commit", "sha": oid, "url": f"{url}/git/commits/{oid}"}
    return {
        "ref": f"refs/heads/{branch}",
        "node_id": "REF_x",
        "url": f"{url}/git/refs/heads/{branch}",
        "object": target,
    }


def commit(project: ForgeProject, found: CommitObject) -> dict[str, Any]:
    """Return a commit."""
    url, html = f"{api_url(project)}/git", f"{project.url}/{project.name}/commit"
    signed = found.oid in project.signed
    who = {"name": "Ada Lovelace", "email": "ada@example.com", "date": _DAY}
    return {
        "sha": found.oid,
        "node_id": f"C_{found.oid}",
        "url": f"{url}/commits/{found.oid}",
        "html_url": f"{html}/{found.oid}",
        "author": who,
        "committer": who,
        "message": found.message.strip(),
        "tree": {"sha": found.tree, "url": f"{url}/trees/{found.tree}"},
        "parents": [
            {"sha": each, "url": f"{url}/commits/{each}", "html_url": f"{html}/{each}"} for each in found.parents
        ],
        "verification": {
            "verified": signed,
            "reason": "valid" if signed else "unsigned",
            "signature": "-----BEGIN PGP SIGNATURE-----" if signed else None,
            "payload": f"tree {found.tree}" if signed else None,
            "verified_at": _DAY if signed else None,
        },
    }


def label(project: ForgeProject, name: str) -> dict[str, Any]:
    """Return a label."""
    url = f"{api_url(project)}/labels/{name}"
    return {
        "id": 1,
        "node_id": "LA_x",
        "url": url,
        "name": name,
        "description": "",
        "color": "ededed",
        "default": False,
    }


def team(project: ForgeProject, slug: str) -> dict[str, Any]:
    """Return a team."""
    url = f"{project.url}/api/v3/teams/{slug}"
    return {
        "id": 1,
        "node_id": "T_x",
        "name": slug,
        "slug": slug,
        "description": None,
        "permission": "push",
        "url": url,
        "html_url": f"{project.url}/teams/{slug}",
        "members_url": f"{url}/members",
        "repositories_url": f"{url}/repos",
        "privacy": "closed",
        "parent": None,
        "type": "organization",
        "organization_id": 1,
    }


def issue(project: ForgeProject, found: Pull) -> dict[str, Any]:
    """Return the issue that a pull request is, too."""
    url = f"{api_url(project)}/issues/{found.number}"
    people = [user(project, login) for login in found.assignees]
    return {
        "id": 1000 + found.number,
        "node_id": "I_x",
        "url": url,
        "repository_url": api_url(project),
        **{f"{name}_url": f"{url}/{name}" for name in ("labels", "comments", "events")},
        "html_url": pull_link(project, found.number),
        "number": found.number,
        "state": found.state,
        "title": found.title,
        "user": user(project, found.author),
        "labels": [label(project, name) for name in found.labels],
        "assignee": people[0] if people else None,
        "assignees": people,
        "milestone": None,
        "locked": False,
        "comments": 0,
        "closed_at": _DAY if found.state == "closed" else None,
        "created_at": _DAY,
        "updated_at": _DAY,
        "author_association": "CONTRIBUTOR",
        "body": found.body,
    }


def pull_link(project: ForgeProject, number: int) -> str:
    """Return the address of a pull request's page."""
    return f"{project.url}/{project.name}/pull/{number}"


def pull(project: ForgeProject, found: Pull, *, whole: bool) -> dict[str, Any]:
    """Return a pull request: `whole`, or as listings have it."""
    api, html = api_url(project), pull_link(project, found.number)
    url = f"{api}/pulls/{found.number}"
    links = {
        "self": url,
        "html": html,
        "issue": f"{api}/issues/{found.number}",
        "comments": f"{api}/issues/{found.number}/comments",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{found.tip}",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments/{{number}}",
    }
    closed = _DAY if found.state == "closed" else None
    people = [user(project, login) for login in found.assignees]
    ends = {
        end: {
            "label": f"{project.owner}:{branch}",
            "ref": branch,
            "sha": oid,
            "user": user(project, project.owner),
            "repo": repository(project),
        }
        for end, branch, oid in (
            ("head", found.branch, found.tip),
            ("base", found.base, project.repository.tip(found.base) or ""),
        )
    }
    listed = {
        "id": found.number,
        "node_id": f"PR_{found.number}",
        "number": found.number,
        "url": url,
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        **{f"{name}_url": address for name, address in links.items() if name not in {"self", "html"}},
        "state": found.state,
        "locked": False,
        "title": found.title,
        "body": found.body or None,
        "draft": found.draft,
        "user": user(project, found.author),
        "milestone": None,
        "auto_merge": None,
        "labels": [label(project, name) for name in found.labels],
        "assignee": people[0] if people else None,
        "assignees": people,
        "requested_reviewers": [user(project, login) for login in found.reviewers],
        "requested_teams": [team(project, slug) for slug in found.teams],
        "created_at": _DAY,
        "updated_at": _DAY,
        "closed_at": closed,
        "merged_at": found.merged_at if found.merged else None,
        "merge_commit_sha": None,
        **ends,
        "_links": {name: {"href": address} for name, address in links.items()},
        "author_association": "CONTRIBUTOR",
    }
    if not whole:
        return listed
    counts = dict.fromkeys(["additions", "deletions", "changed_files", "commits", "comments", "review_comments"], 1)
    return {
        **listed,
        **counts,
        "mergeable": None,
        "mergeable_state": "unknown",
        "merged": found.merged,
        "merged_by": None,
        "maintainer_can_modify": False,
    }

"""Why a server refuses to move a branch, by the words of GitHub, GitLab and git, and what to do about it.

GitHub's words are the same in a push (GH006, GH013) and in its API. A hook may print anything, and repeat words of the
commit. So a pattern is bound to the beginning of a line, or to git's own reason for the ref.
"""

from __future__ import annotations

import re
from typing import Final

from codex_runner.dataclass import dataclass

GITLAB_RIGHT: Final = (
    "At GitLab, give the token the role Developer and the scope `api`. For CI_JOB_TOKEN, turn on "
    '"Allow Git push requests to the repository" in the project (Settings, CI/CD, Job token permissions; GitLab 18.4 '
    "or later); the person who started the job needs the role Developer."
)
_EXEMPT: Final = "Exempt the branch from the rule, let the token bypass it, or name another `branch`."


@dataclass(frozen=True, slots=True)
class BranchRule:
    """One reason to refuse a branch: what is printed, how a sentence about the branch goes on, and the remedy."""

    printed: re.Pattern[str]
    sentence: str
    remedy: str


def _rule(printed: str, sentence: str, remedy: str) -> BranchRule:
    return BranchRule(re.compile(printed, re.MULTILINE), sentence, remedy)


# The first one that matches counts. A line is without `remote: `, `error: ` and a list's dash.
_RULES: Final = (
    _rule(
        r"^refusing to allow .* workflow",
        "was not pushed: the token may not change workflows",
        "Use a token of a GitHub App with the permission `workflows`, or forbid the path to the agent.",
    ),
    _rule(
        r"^(Push cannot contain secrets|GITHUB PUSH PROTECTION|PUSH BLOCKED: Secrets detected)",
        "was not pushed, since the forge finds a secret in the change",
        "Take the secret out of what the agent writes. If it is none, allow it at the forge, then deliver again.",
    ),
    _rule(
        r"^(Commits must have (verified|valid) signatures|(GitLab: )?Commit must be (properly )?signed"
        r"|(GitLab: )?Commit was not signed)",
        "takes only signed commits, and was not pushed",
        "At GitHub, deliver with a GitHub App's token or GITHUB_TOKEN, without `author`: GitHub then signs the commit. "
        "Elsewhere, exempt the branch from the rule.",
    ),
    _rule(
        r"^(GH001: Large files|File .* exceeds GitHub's file size limit|(GitLab: )?File .* is larger than the allowed"
        r"|(GitLab: )?You are attempting to check in one or more blobs which exceed)",
        "was not pushed: a file of the change is too large",
        "Keep such files in Git LFS, or forbid them to the agent with `forbidden_paths`: else each run is paid "
        "for, and fails here again.",
    ),
    _rule(
        r"^(GitLab: )?Your push (has been rejected, because|to this repository would cause it to exceed)"
        r"|^(GitLab: )?Your push to this repository cannot be completed (because|as it) .*(storage|limit)"
        r"|^(.*: )?(Disk quota exceeded|No space left on device)$|^(.*: )?pack exceeds maximum allowed size",
        "was not pushed, since the repository has no room for it",
        "Raise the limit or free storage at the server, or let the job change less.",
    ),
    _rule(
        r"^(GitLab: )?(You are not allowed to (push|upload) code( to this project| for this project)?\.?$"
        r"|You don't have permission to push)|^Permission to \S+ denied|^Write access to repository not granted"
        r"|^(GitLab: )?This deploy key does not have write access"
        r"|^(.*: )?(insufficient permission for adding an object|unable to create temporary object directory)",
        "was not pushed: the credential may not write to the repository",
        'Give the token the right to write this repository\'s contents; at GitHub, "Contents: read and write". '
        f"{GITLAB_RIGHT}",
    ),
    _rule(
        r"^denying non-fast-forward|^non-fast-forward$|^Cannot force-push to this branch"
        r"|^(GitLab: )?You are not allowed to force push code to a protected branch",
        "is protected from being replaced, and was not pushed",
        "Allow force pushes to this branch at the server (git: receive.denyNonFastForwards): each delivery replaces "
        "the one commit of the last. Or merge or delete the branch before each run.",
    ),
    _rule(
        r"^Cannot create ref due to creations being restricted|^(GitLab: )?You are not allowed to create protected"
        r"|^(GitLab: )?You can only (create|use an existing) protected",
        "is protected from being created, and was not pushed",
        _EXEMPT,
    ),
    _rule(
        r"^protected branch hook declined$|^push declined due to repository rule violations$|^GH006: |^GH013: "
        r"|^Cannot update this protected ref|^Repository rule violations found|^Changes must be made through"
        r"|^(GitLab: )?You are not allowed to (push|merge) code (in)?to protected branch",
        "is protected, and was not pushed",
        _EXEMPT,
    ),
    _rule(
        r"^cannot lock ref '[^']*': '[^']*' exists|directory file conflict|funny refname",
        "cannot exist beside another branch",
        "Name another `branch`.",
    ),
    _rule(
        r"^(GitLab: )?Branch name .*does not follow the pattern",
        "has a name that a push rule refuses",
        "Name another `branch`.",
    ),
    _rule(
        r"^(GitLab: )?Commit message does not follow the pattern|^(GitLab: )?Commit message contains the forbidden",
        "was not pushed: a push rule refuses the commit message",
        "Set `delivery.commit_message`.",
    ),
    _rule(
        r"^(GitLab: )?(Author|Author's email|Committer|Committer's email) .* (is not|does not follow)"
        r"|^(GitLab: )?You cannot push commits for ",
        "was not pushed: a push rule refuses its author or committer",
        "Set `delivery.author`. The committer is codex-runner@localhost: exempt it from the rule.",
    ),
    _rule(
        r"hook declined",
        "was declined by a hook of the repository",
        "Do what the hook asks for.",
    ),
)


def rule_of(words: str) -> BranchRule | None:
    """Return the rule that these lines tell of. Returns None if none is known."""
    lines = (re.sub(r"^(?:(?:remote|fatal|error): |[-*] )+", "", line.strip()).strip() for line in words.splitlines())
    text = "\n".join(lines)
    return next((rule for rule in _RULES if rule.printed.search(text)), None)

"""The small forge for tests: tokens of each kind, time that does not pass, a change to deliver."""

import asyncio
from contextlib import contextmanager

from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.gitlab import GitLabForge
from codex_runner.delivery.http import ForgeEndpoint, Timing
from codex_runner.demo.forge import SmallForge
from codex_runner.demo.forge_state import Fault, Token, json_reply
from codex_runner.domain.delivery import ChangeSet, ForgeCredential, PullText
from codex_runner.domain.secret import Secret

BRANCH = "codex/release-notes"
APP, ACTIONS, PAT, READER, CLASSIC, PROJECT, JOB = (
    "ghs_theAppsTokenOfTheTest0000000000000001",
    "ghs_theTokenOfAJobOfActions00000000000002",
    "github_pat_11AAAAAAA0fineGrained_0000000003",
    "ghp_onlyReads0000000000000000000000000004",
    "ghp_classicWithScopes00000000000000000005",
    "glpat-theProjectsToken000006",
    "glcbt-64_theJobsToken00000007",
)
ALL = frozenset({"contents", "pulls", "issues", "teams"})
TOKENS = {
    APP: Token("notes-bot[bot]", ALL, signs=True),
    ACTIONS: Token("github-actions[bot]", ALL - {"teams"}, signs=True),
    PAT: Token("ada", ALL),
    READER: Token("grace", frozenset({"issues"})),
    CLASSIC: Token("ada", ALL, scopes="gist, read:org"),
    PROJECT: Token("project_4711_bot", ALL),
    JOB: Token("ada", ALL, job=True),
}
TEXT = PullText("Draft the release notes", "What the agent did.\n\n<!-- codex-runner: {} -->")
MESSAGE = "Draft the release notes\n\nBy codex-runner."


class Time:
    """A clock that moves when one sleeps."""

    def __init__(self):
        self.moment, self.slept = 1000.0, []

    def now(self):
        return self.moment

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.moment += seconds
        await asyncio.sleep(0)

    @property
    def timing(self):
        return Timing(now=self.now, sleep=self.sleep)


def github(forge, token=APP, time=None, **parts):
    credential = ForgeCredential(Secret("FORGE_TOKEN", token))
    return GitHubForge(ForgeEndpoint(forge.github_api), credential, "acme/app", (time or Time()).timing, **parts)


def gitlab(forge, token=PROJECT, time=None):
    return GitLabForge(
        ForgeEndpoint(forge.gitlab_api),
        ForgeCredential(Secret("FORGE_TOKEN", token)),
        "acme/app",
        (time or Time()).timing,
    )


def use(forge, *steps):
    """Run each step, a function of the forge's client, and close it. Returns the last result."""

    async def all_of_them():
        try:
            for step in steps:
                result = await step(forge)
            return result
        finally:
            await forge.aclose()

    return asyncio.run(all_of_them())


def pushed(forge, branch=BRANCH, files=None, base="main"):
    """Make a branch with a commit on the base, as a push does."""
    tip = forge.repository.tip(base)
    if forge.repository.tip(branch) is None:
        forge.repository.move(branch, tip)
    return forge.repository.commit_files(branch, files or {"NOTES.md": b"notes\n"}, "Draft")


def change(forge, files, modes=None, base="main"):
    """Return a change of these files on the base, and its contents. None removes a file."""
    repository = forge.repository
    tip = repository.tip(base)
    modes = {path: "100644" for path, content in files.items() if content is not None} | (modes or {})
    entries = [
        (modes.get(path, "100644"), None if content is None else oid_of(repository, modes[path], content), path)
        for path, content in files.items()
    ]
    tree = repository.tree(f"{tip}^{{tree}}", sorted(entries, key=lambda entry: entry[1] is not None))

    async def contents():
        for path, content in files.items():
            if content is not None:
                yield path, modes[path], content

    return ChangeSet(tip, tree, tuple(files), modes, None), contents


def oid_of(repository, mode, content):
    return content.decode() if mode == "160000" else repository.blob(content)


def answers(status, document, times=1, first=1, **headers):
    """Faults: requests from `first` on get this answer, and nothing is done."""
    reply = json_reply(status, document, **headers)
    return {number: Fault(reply=reply) for number in range(first, first + times)}


CUT_BEFORE, CUT_AFTER = Fault(), Fault(after=True)
LOST = Fault(after=True, reply=json_reply(502, {"message": "Server Error"}))
FAULTS = {"cut before": CUT_BEFORE, "cut after": CUT_AFTER, "5xx after": LOST}


@contextmanager
def small_forge(folder, **parts):
    with SmallForge(folder, TOKENS, **parts) as forge:
        yield forge

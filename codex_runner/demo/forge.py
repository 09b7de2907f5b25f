"""A small forge on 127.0.0.1: a real bare repository behind git's smart HTTP, and the APIs of GitHub and GitLab.

It behaves as the two document it, also in refusals and limits, and it can fail at any request. For the demo and for the
tests. One project, which both APIs show; the caller talks to one of them.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import re
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from codex_runner.demo.forge_git import BareRepository, declined, read_push, with_words
from codex_runner.demo.forge_github import GitHubApi
from codex_runner.demo.forge_gitlab import GitLabApi, follow_push
from codex_runner.demo.forge_http import ForgeHandler
from codex_runner.demo.forge_page import pull_page
from codex_runner.demo.forge_project import ForgeProject
from codex_runner.demo.forge_state import Fault, ForgeReply, Request, Token
from codex_runner.demo.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_OF_GITLAB = frozenset({"oauth2", "gitlab-ci-token"})
"""Names of users that git sends to GitLab alone."""


class SmallForge:
    """The running forge: a context manager that listens from its creation.

    `requests` has all that came. `faults` maps the numbers of requests, counted from 1, to what goes wrong with them.
    `project` is what people see and change.
    """

    def __init__(
        self, folder: Path, tokens: Mapping[str, Token], *, repository: str = "acme/app", port: int = 0
    ) -> None:
        """Listen on 127.0.0.1; port 0 picks a free one. Keeps the repository in `folder`, and makes it if needed."""
        self.requests: list[Request] = []
        self.faults: dict[int, Fault] = {}
        self._lock = threading.RLock()  # one request at a time: so many are few
        self._server = Listener(port, self, ForgeHandler)
        self.port, self.url = self._server.port, self._server.url
        self.repository = BareRepository(folder / f"{repository}.git")
        self.project = ForgeProject(repository, self.repository, self.url)
        self.tokens = dict(tokens)
        self._github = GitHubApi(self.project, self.tokens)
        self._gitlab = GitLabApi(self.project, self.tokens)
        self._server.start()

    @property
    def github_api(self) -> str:
        """The API of GitHub, as Enterprise Server has it."""
        return f"{self.url}/api/v3"

    @property
    def gitlab_api(self) -> str:
        """The API of GitLab."""
        return f"{self.url}/api/v4"

    @property
    def git_url(self) -> str:
        """The repository, for git."""
        return f"{self.url}/{self.project.name}.git"

    def __enter__(self) -> Self:
        """Return the forge, which is already listening."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the forge."""
        self.close()

    def close(self) -> None:
        """Stop listening, break every connection, wait for their threads. Idempotent."""
        self._server.stop()

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> ForgeReply | None:
        """Answer a request. Returns None to cut its connection."""
        with self._lock:
            request = Request(len(self.requests) + 1, method, path, query, headers, body)
            self.requests.append(request)
            fault = self.faults.pop(request.number, None)
            if fault is None:
                return self._answer(request)
            if fault.after:
                self._answer(request)
            return fault.reply

    def _answer(self, request: Request) -> ForgeReply:
        if request.path.startswith(("/api/v3/", "/api/graphql")):
            return self._github.answer(request)
        if request.path.startswith("/api/v4/"):
            return self._gitlab.answer(request)
        below = request.path.removeprefix(f"/{self.project.name}.git")
        if below != request.path:
            return self._git(request, below)
        return self._page(request)

    def _git(self, request: Request, below: str) -> ForgeReply:
        user, token = self._git_token(request)
        if token is None:
            headers = {"www-authenticate": 'Basic realm="small forge"'}
            return ForgeReply(401, b"HTTP Basic: Access denied", headers)
        pushes = "git-receive-pack" in below or request.query.get("service") == "git-receive-pack"
        if pushes and ("contents" not in token.rights or (token.job and not self.project.settings.job_pushes)):
            words = f"Permission to {self.project.name}.git denied to {token.login}."
            if user in _OF_GITLAB:
                words = "You are not allowed to upload code."
            return ForgeReply(403, words.encode(), {"content-type": "text/plain"})
        if below != "/git-receive-pack":
            return self.repository.serve(request, below, token.login)
        commands, options = read_push(request.body)
        if (refused := self._declined(commands)) is not None:
            return refused
        reply = self.repository.serve(request, below, token.login)
        self.project.settle()
        said: list[str] = []
        for old, new, ref in commands:
            branch = ref.removeprefix("refs/heads/")
            if self.repository.tip(branch) == new and old != new:  # it was accepted
                said += follow_push(self.project, token.login, branch, options)
        return with_words(reply, said) if said else reply

    def _declined(self, commands: Sequence[tuple[str, str, str]]) -> ForgeReply | None:
        """Return the answer to a push that a branch's protection refuses. Returns None if none does.

        A forge looks at the commits in quarantine. This one does not have them: each new commit replaces the old one.
        """
        rules = {
            ref: self.project.refusal(ref.removeprefix("refs/heads/"), old, new)
            for old, new, ref in commands
            if ref.startswith("refs/heads/")
        }
        lines = [line for rule in rules.values() if rule for line in rule.lines]
        if not lines:
            return None
        found = {ref: rules.get(ref) for _, _, ref in commands}
        return declined({ref: rule.reason if rule else "atomic push failure" for ref, rule in found.items()}, lines)

    def _git_token(self, request: Request) -> tuple[str, Token | None]:
        """Return the user's name, and the token. Returns no token if the forge does not know it."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return "", None
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", None
        return user, self.tokens.get(password)

    def _page(self, request: Request) -> ForgeReply:
        match = re.fullmatch(rf"/{re.escape(self.project.name)}/(?:pull|-/merge_requests)/(\d+)", request.path)
        pull = self.project.pull(int(match[1])) if match else None
        if pull is None or request.method != "GET":
            return ForgeReply(404, b"Not Found\n", {"content-type": "text/plain"})
        return pull_page(self.project, pull)


def main() -> None:
    """Serve a repository and its pull requests until interrupted. Prints its addresses and the requests."""
    # A shell that starts this in the background ignores SIGINT, and this process inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m codex_runner.demo.forge", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument("--folder", type=Path, required=True, help="where the repository is, or is to be made")
    parser.add_argument("--repository", default="acme/app", help="owner/name")
    parser.add_argument("--token", required=True, help="the only token to accept; it may do everything")
    options = parser.parse_args()
    tokens = {options.token: Token("notes[bot]", signs=True)}
    with SmallForge(options.folder, tokens, repository=options.repository, port=options.port) as forge:
        print(f"GitHub's API: {forge.github_api}", f"git: {forge.git_url}", sep="\n", flush=True)  # noqa: T201 - a program of its own
        seen = 0
        try:
            while True:
                for request in forge.requests[seen:]:
                    seen += 1
                    print(request.method, request.path, flush=True)  # noqa: T201 - the same
                time.sleep(0.2)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

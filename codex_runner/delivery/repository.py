"""A bare repository of the runner's own for one delivery: fresh, private, removed at its end.

It never reads the working tree, nor a setting of the repository in which the agent worked. What comes into it is the
base, fetched from the forge, and the pack of the run's changes, each object of which git checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Final

import tenacity

from codex_runner.dataclass import dataclass
from codex_runner.delivery.refusals import NO_REF, NOT_GIVEN, NOT_THERE, RefusalWords
from codex_runner.domain.errors import ConfigurationError, DeliveryError, ForgeUnreachableError
from codex_runner.git.process import Finished, run_git
from codex_runner.shell.scratch import scratch_folder
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path
    from typing import TypeVar

    from codex_runner.delivery.remote import Remote
    from codex_runner.domain.delivery import ChangeSet

    T = TypeVar("T")

TIP: Final = "refs/runner/base"
"""The ref that holds the base branch's commit in here."""

FETCH: Final = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--force")
_SHA256_DIGITS = 64
_ALL = 0x7FFFFFFF  # commits: git's own word for a whole history
_OLDEST: Final = (2, 32)  # the first git that reads GIT_CONFIG_GLOBAL


@dataclass(frozen=True, slots=True)
class Person:
    """The author or committer of a commit."""

    name: str
    email: str


RUNNER: Final = Person("codex-runner", "codex-runner@localhost")
"""Who commits what the runner makes."""


@contextlib.asynccontextmanager
async def open_repository(  # noqa: PLR0913 - each with a default that suits
    remote: Remote,
    environ: Mapping[str, str],
    runs: Path,
    *,
    like: str = "",
    patience: float = 60.0,
    timeout: float = 1800.0,
) -> AsyncIterator[DeliveryRepository]:
    """Make a repository for as long as the context lasts. `runs` is the folder of this machine's run directories.

    `like` is a commit id, whose length tells SHA-1 from SHA-256. Requests to an unreachable forge are repeated for
    `patience` seconds; no git command may take longer than `timeout` seconds.
    """
    with scratch_folder(runs) as scratch:
        folder = scratch / "git"
        repository = DeliveryRepository(remote, folder, remote.environment(environ, str(folder)), patience, timeout)
        await repository.begin("sha256" if len(like) == _SHA256_DIGITS else "sha1")
        yield repository


class DeliveryRepository:
    """Use `open_repository` to make one."""

    def __init__(
        self, remote: Remote, folder: Path, environ: Mapping[str, str], patience: float, timeout: float
    ) -> None:
        """Do nothing yet."""
        self.remote, self.folder = remote, folder
        self.words = RefusalWords(remote)
        self._environ, self._patience, self._timeout = environ, patience, timeout

    async def begin(self, object_format: str) -> None:
        """Make the repository. Raises ConfigurationError if git is missing or too old."""
        self.folder.mkdir(mode=0o700)
        said = (await self.ask("version")).decode("ascii", "replace").split()
        numbers = said[2].split(".") if len(said) > 2 else []
        if len(numbers) < 2 or not all(number.isdigit() for number in numbers[:2]):
            raise ConfigurationError(f"git's version is unknown: {' '.join(said)[:80]!r}.", remedy="Install git.")
        if tuple(map(int, numbers[:2])) < _OLDEST:
            raise ConfigurationError(
                f"git {said[2]} is too old to deliver: it cannot be kept from reading other settings.",
                remedy=f"Install git {'.'.join(map(str, _OLDEST))} or later on the runner's machine.",
            )
        await self.ask("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(self.folder))

    # --- git on this machine -----------------------------------------------------------------------------------------

    async def ask(
        self, *arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None, failed: str = ""
    ) -> bytes:
        """Run git in here, and return its stdout. Raises DeliveryError, with `failed` before git's reason."""
        done = await self.attempt(*arguments, stdin=stdin, environ=environ)
        if done.code:
            said = self.words.shown(done.complaint) or f"`git {arguments[0]}` ended with {done.code}"
            raise DeliveryError(f"{failed or 'git failed in the repository for the delivery'}: {said}.")
        return done.output

    async def write(self, descriptor: int, *arguments: str) -> None:
        """Run git in here with its stdout in a file. Raises DeliveryError."""
        done = await self.attempt(*arguments, stdout=descriptor)
        if done.code:
            raise DeliveryError(f"git failed in the repository for the delivery: {self.words.shown(done.complaint)}.")

    async def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        stdout: int | None = None,
        environ: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> Finished:
        """Run git in here, and return how it ended. `talks`: it may ask for the token. Raises DeliveryError if slow."""
        try:
            async with asyncio.timeout(self._timeout):
                with self.remote.answers(needed=talks) as (pipes, variables):
                    environment = {**self._environ, **variables, **(environ or {})}
                    return await run_git(
                        str(self.folder), arguments, environment, stdin=stdin, stdout=stdout, pass_fds=pipes
                    )
        except FileNotFoundError:
            raise ConfigurationError(
                "git is not installed on the runner's machine.", remedy="Install git: a delivery needs it."
            ) from None
        except TimeoutError:
            raise DeliveryError(f"`git {arguments[0]}` did not end within {format_duration(self._timeout)}.") from None

    # --- git and the forge -------------------------------------------------------------------------------------------

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, and repeat it while the forge cannot be reached. It must be idempotent."""
        until = time.monotonic() + self._patience
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ForgeUnreachableError),
            stop=lambda _: time.monotonic() > until,
            wait=tenacity.wait_random_exponential(multiplier=0.5, min=0.2, max=10.0),
            sleep=asyncio.sleep,
            reraise=True,
        )
        result: T = await retrying(work)
        return result

    async def talk(self, *arguments: str) -> bytes:
        """Run git that reads from the forge. Repeated while the forge is unreachable. Returns its stdout."""

        async def once() -> bytes:
            done = await self.attempt(*arguments, talks=True)
            if done.code:
                raise self.words.of_network(done.complaint)
            return done.output

        return await self.persist(once)

    async def refs(self, *patterns: str) -> dict[str, str]:
        """Return the forge's refs that match, and their ids. Raises CredentialError or DeliveryError."""
        return _refs(await self.talk("ls-remote", "--quiet", "origin", *patterns))

    async def heads(self, branch: str | None) -> tuple[str, dict[str, str]]:
        """Return the name of the forge's default branch, "" if it has none, and the ids of HEAD and of a branch."""
        patterns = ("HEAD",) if branch is None else ("HEAD", f"refs/heads/{branch}")
        said = await self.talk("ls-remote", "--quiet", "--symref", "origin", *patterns)
        found = re.search(rb"^ref: refs/heads/(.+)\tHEAD$", said, re.MULTILINE)
        return os.fsdecode(found[1]) if found else "", _refs(said)

    async def fetch_base(self, branch: str, commit: str) -> str:
        """Fetch the branch, and the commit that the agent began with, as shallow as the forge allows.

        Returns the branch's commit. Raises DeliveryError if the forge lacks the branch or the commit.
        """
        await self._fetch_branch(branch, "--depth=1")
        if not await self._has(commit):
            await self._fetch_commit(branch, commit)
        return (await self.ask("rev-parse", "--verify", "--quiet", f"{TIP}^{{commit}}")).decode("ascii").strip()

    async def prove(self, branch: str, commit: str) -> None:
        """Raise DeliveryError if `fetch_base` would fail later, since the forge does not give this commit.

        Only for a repository that is used for nothing else: it gets no files, and git would ask for them later.
        """
        await self._fetch_commit(branch, commit, "--filter=tree:0")

    async def _fetch_branch(self, branch: str, *options: str) -> None:
        async def once() -> None:
            done = await self.attempt(*FETCH, *options, "origin", f"refs/heads/{branch}:{TIP}", talks=True)
            if done.code and NO_REF.search(done.complaint):
                raise self.no_branch(branch)
            if done.code:
                raise self.words.of_network(done.complaint)

        await self.persist(once)

    def no_branch(self, branch: str) -> DeliveryError:
        """Return the error for a branch that the forge lacks."""
        return DeliveryError(f"{self.remote.shown} has no branch {branch!r}.", remedy="Correct the delivery's `base`.")

    async def _fetch_commit(self, branch: str, commit: str, *options: str) -> None:
        async def once() -> str:
            done = await self.attempt(*FETCH, *options, "--depth=1", "origin", commit, talks=True)
            said = done.complaint.decode("utf-8", "replace")
            if done.code and not (NOT_GIVEN.search(said) or NOT_THERE.search(said)):
                raise self.words.of_network(done.complaint)
            return said

        if NOT_GIVEN.search(await self.persist(once)):  # the server gives branches only: then with their history
            await self._fetch_branch(branch, *options, f"--depth={_ALL}")
        if not await self._has(commit):
            raise DeliveryError(
                f"The agent's tree is at the commit {commit}, and {self.remote.shown} does not have it.",
                remedy="Push that commit first, or run the job on a commit of the delivery's `base`.",
            )

    async def fetch_commit(self, commit: str) -> None:
        """Fetch one commit and its tree, unless it is here. Raises DeliveryError if the forge does not give it."""
        if not await self._has(commit):
            await self.talk("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "origin", commit)

    async def _has(self, commit: str) -> bool:
        return not (await self.attempt("cat-file", "-e", f"{commit}^{{commit}}")).code

    # --- what is delivered -------------------------------------------------------------------------------------------

    async def index(self, change: ChangeSet, *options: str) -> None:
        """Add the change's pack. `options` are those of `git index-pack`. Raises DeliveryError if it is damaged."""
        pack = self.folder / "objects" / "pack" / f"pack-{change.tree}.pack"
        try:
            await asyncio.to_thread(shutil.copyfile, change.pack, pack)
        except OSError as error:
            raise DeliveryError(f"The pack of the run's changes cannot be read: {error.strerror}.") from None
        await self.ask("index-pack", *options, str(pack), failed="The pack of the run's changes is damaged")

    async def take(self, change: ChangeSet) -> None:
        """Add the change's pack. git checks each object, and that none is missing; call `fetch_base` first.

        Raises DeliveryError if the pack is damaged, or does not hold the tree.
        """
        await self.index(change, "--strict")
        said = await self.ask("cat-file", "-t", change.tree, failed="The pack does not hold the tree to deliver")
        if said.strip() != b"tree":
            raise DeliveryError("The pack does not hold the tree to deliver.")

    async def commit(  # noqa: PLR0913 - what a commit consists of
        self, tree: str, parent: str, message: str, *, author: Person, committer: Person, when: float
    ) -> str:
        """Make a commit, and return its id. The same arguments make the same commit, so that it can be pushed again.

        `parent` may be "". `when` is in seconds since the epoch.
        """
        date = f"@{int(when)} +0000"
        people = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
            "GIT_COMMITTER_DATE": date,
        }
        said = await self.ask(
            "commit-tree",
            tree,
            *(("-p", parent) if parent else ()),
            stdin=message.encode("utf-8", "replace"),
            environ=people,
            failed="The commit cannot be made",
        )
        return said.decode("ascii").strip()


def _refs(listed: bytes) -> dict[str, str]:
    pairs = (line.split(b"\t", 1) for line in listed.splitlines() if b"\t" in line)
    return {os.fsdecode(ref): oid.decode("ascii", "replace") for oid, ref in pairs}

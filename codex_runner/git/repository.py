"""A repository on the runner's machine, and the commit of it that a workspace needs."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Self

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.surroundings import for_git
from codex_runner.git.guard import guarded
from codex_runner.git.process import run_git

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ELSEWHERE = frozenset(  # variables that git sets in a hook, and that point to the hook's own repository
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR"),
        *("NAMESPACE", "PREFIX"),
    )
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class GitError(Exception):
    """git failed. The message is git's own."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A commit of a repository on this machine.

    `common` is its git folder, for a linked worktree the main one. `shallow` are the commits at which its history is
    cut off, a line each, empty if it is whole. `partial` says that git fetches missing objects when it needs them.
    `mirror` is the name of its mirror on hosts. `object_format` is empty for SHA-1.
    """

    path: str
    commit: str
    common: Path
    mirror: str
    shallow: str
    partial: bool
    object_format: str
    environ: Mapping[str, str]

    @classmethod
    async def find(cls, path: str, ref: str, environ: Mapping[str, str]) -> Self:
        """Find the commit `ref` of the repository around the folder `path`.

        Raises ConfigurationError if there is no such repository or commit.
        """
        environ = {key: value for key, value in for_git(environ).items() if key not in _ELSEWHERE}
        environ |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
        environ = guarded(environ)
        if _is_bare(Path(path)):  # allow the bare repository that the configuration names, and no other
            environ |= {"GIT_DIR": "."}

        async def ask(*arguments: str) -> str:
            return (await _git(path, arguments, environ)).decode("utf-8", "surrogateescape").rstrip("\n")

        async def ask_if_set(*arguments: str) -> str:
            try:
                return await ask(*arguments)
            except GitError:
                return ""

        try:
            common = _resolved(path, await ask("rev-parse", "--git-common-dir"))
        except GitError as error:
            raise ConfigurationError(
                f"workspace.repo = {path!r}: {error}", remedy="Name a git repository, or its URL."
            ) from None
        try:
            commit = await ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except GitError:
            raise ConfigurationError(
                f"workspace.ref = {ref!r}: {path} has no such commit.",
                remedy="Fetch it first: a shallow clone has neither other branches nor tags.",
            ) from None
        shallow = common / "shallow"
        object_format = await ask_if_set("config", "extensions.objectFormat")
        return cls(
            path,
            commit,
            common,
            mirror_name(await ask_if_set("config", "remote.origin.url") or str(common).removesuffix("/.git")),
            shallow.read_text(encoding="ascii").strip() if shallow.exists() else "",
            bool(await ask_if_set("config", "--get-regexp", r"^remote\..*\.promisor$")),
            object_format if object_format != "sha1" else "",
            environ,
        )

    async def uncommitted(self) -> int:
        """Return the number of changes that are not in the commit, untracked files included.

        Returns 0 if the commit is not HEAD, or in a bare repository.
        """
        try:
            if await self._ask("rev-parse", "--verify", "--quiet", "HEAD") != self.commit.encode() + b"\n":
                return 0
            return (await self._ask("status", "--porcelain=v1", "--ignore-submodules=dirty")).count(b"\n")
        except GitError:  # a bare repository
            return 0

    async def known(self, commits: Sequence[str]) -> list[str]:
        """Return those of the commits that this repository has."""
        wanted = "".join(f"{each}^{{commit}}\n" for each in commits).encode()
        said = await self._ask("cat-file", "--batch-check=%(objectname)", stdin=wanted)
        return [line for line in said.decode().splitlines() if " " not in line]

    async def bundle(self, into: Path, haves: Sequence[str] = ()) -> None:
        """Write a git bundle: the commit as HEAD, and the tags in its history, without the objects of `haves`.

        The header is written by hand, since `git bundle create` drops tags of commits that the other side has.
        """
        listed = await self._ask(
            "for-each-ref", f"--merged={self.commit}", "--format=%(objectname) %(refname)", "refs/tags"
        )
        tags = listed.splitlines()
        version = b"# v3 git bundle\n@object-format=%b\n" if self.object_format else b"# v2 git bundle\n%b"
        lines = [*(b"-%b " % each.encode() for each in haves), b"%b HEAD" % self.commit.encode(), *tags, b""]
        wanted = [
            self.commit.encode(),
            *(tag.split(b" ")[0] for tag in tags),
            *(b"^" + each.encode() for each in haves),
        ]
        with into.open("wb") as file:
            file.write(version % self.object_format.encode() + b"\n".join(lines) + b"\n")
            file.flush()
            arguments = ("pack-objects", "--quiet", "--revs", "--thin", "--delta-base-offset", "--stdout")
            await _git(self.path, arguments, self.environ, b"\n".join(wanted) + b"\n", file.fileno())

    async def _ask(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return await _git(self.path, arguments, self.environ, stdin)


def mirror_name(origin: str) -> str:
    """Return the name of a host's mirror of the repository at this URL or path: the same for each user and protocol."""
    place = _SCHEME.sub("", origin.rstrip("/").removesuffix(".git"))
    if not place.startswith("/"):
        place = place.rpartition("@")[2].replace(":", "/", 1)
    name = _UNSAFE.sub("-", place.rsplit("/", 1)[-1]).strip(".-")[:40] or "repository"
    return f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:12]}.git"


def _is_bare(folder: Path) -> bool:
    return not (folder / ".git").exists() and all((folder / name).exists() for name in ("HEAD", "objects", "refs"))


def _resolved(folder: str, path: str) -> Path:
    return Path(folder, path).resolve()


async def _git(
    folder: str, arguments: Sequence[str], environ: Mapping[str, str], stdin: bytes = b"", stdout: int | None = None
) -> bytes:
    try:
        done = await run_git(folder, arguments, environ, stdin=stdin, stdout=stdout)
    except FileNotFoundError:
        raise ConfigurationError(
            "git is not installed on this machine.", remedy="Install git, or remove the job's `workspace`."
        ) from None
    if done.code:
        said = done.complaint.decode("utf-8", "replace").strip()
        raise GitError(said.removeprefix("fatal: ") or f"`git {arguments[0]}` ended with {done.code}")
    return done.output

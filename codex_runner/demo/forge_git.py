"""The small forge's repository: a real bare one, and git's own server over HTTP."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.demo.forge_state import ForgeReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from codex_runner.demo.forge_state import Request

NONE = "0" * 40
_BAND = 60_000  # bytes of a packet in a side band
_PERSON = "Ada Lovelace <ada@example.com>"


class ForgeGitError(Exception):
    """git has refused. The message is its own."""


@dataclass(frozen=True, slots=True)
class CommitObject:
    """A commit."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    message: str


class BareRepository:
    """A bare repository that a push by HTTP may change."""

    def __init__(self, path: Path) -> None:
        """Use the repository at `path`, and make it if there is none, with one commit on main."""
        self.path = path
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        if not (path / "HEAD").exists():
            path.mkdir(parents=True, exist_ok=True)
            self.git("init", "--quiet", "--bare", "--initial-branch=main")
            for name in ("http.receivepack", "receive.advertisePushOptions"):
                self.git("config", name, "true")
            self.commit_files("main", {"README.md": b"# A project\n"}, "Begin")

    def git(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """Run git. Returns its output. Raises GitError if it fails."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            env={**self._environment, **(environment or {})},
        )
        if done.returncode != 0:
            raise ForgeGitError(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode(errors="surrogateescape").strip("\n")

    def tip(self, branch: str) -> str | None:
        """Return a branch's commit, None if there is no such branch."""
        loose = self.path / "refs" / "heads" / branch
        return loose.read_text().strip() if loose.is_file() else self._resolved(f"refs/heads/{branch}")

    def commit(self, oid: str) -> CommitObject | None:
        """Return a commit, None if there is none with this id."""
        try:
            head, _, message = self.git("cat-file", "commit", oid).partition("\n\n")
        except ForgeGitError:
            return None
        lines = [line.partition(" ") for line in head.split("\n")]
        parents = tuple(value for name, _, value in lines if name == "parent")
        return CommitObject(oid, next(value for name, _, value in lines if name == "tree"), parents, message)

    def has(self, oid: str) -> bool:
        """Whether there is an object with this id."""
        return self._resolved(f"{oid}^{{object}}") is not None

    def blob(self, content: bytes) -> str:
        """Store a blob. Returns its id. Not by git: a program for each of 600 files takes seconds."""
        data = b"blob %d\0%b" % (len(content), content)
        oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        place = self.path / "objects" / oid[:2] / oid[2:]
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(zlib.compress(data))
        return oid

    def tree(self, below: str, entries: Iterable[tuple[str, str | None, str]]) -> str:
        """Return the tree `below` with these entries: mode, object (None: removed) and path. Raises GitError."""
        lines = b"".join(
            f"{'0' if oid is None else mode} {oid or NONE}\t{path}".encode(errors="surrogateescape") + b"\0"
            for mode, oid, path in entries
        )
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.git("read-tree", below, environment=index)
            self.git("update-index", "-z", "--replace", "--index-info", stdin=lines, environment=index)
            return self.git("write-tree", environment=index)

    def make_commit(self, tree: str, parents: Sequence[str], message: str, author: str = _PERSON) -> str:
        """Store a commit. Returns its id."""
        name, _, email = author.rstrip(">").partition(" <")
        who = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", email))
        }
        of = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *of, stdin=message.encode(), environment=who)

    def move(self, branch: str, after: str, before: str | None = None) -> None:
        """Move a branch (NONE removes it), if it is at `before`. Raises GitError, also for `a` against `a/b`."""
        swap = [] if before is None else [before]
        command = ["-d"] if after == NONE else []
        self.git("update-ref", *command, f"refs/heads/{branch}", *([] if after == NONE else [after]), *swap)

    def commit_files(self, branch: str, files: dict[str, bytes | None], message: str) -> str:
        """Commit files on a branch as a person does who pushes; None removes one. Returns the commit."""
        tip = self.tip(branch)
        below = self.git("rev-parse", f"{tip}^{{tree}}") if tip else self.git("mktree")
        entries = [("100644", None if content is None else self.blob(content), path) for path, content in files.items()]
        commit = self.make_commit(self.tree(below, entries), [tip] if tip else [], message)
        self.move(branch, commit)
        return commit

    def take_branch(self, repository: Path, branch: str) -> None:
        """Make a branch what it is in another repository on this machine, with its history."""
        self.git("fetch", "--quiet", "--no-tags", str(repository), f"+refs/heads/{branch}:refs/heads/{branch}")

    def serve(self, request: Request, below: str, user: str) -> ForgeReply:
        """Answer a request of git from this user. `below` is the path after the repository's own."""
        return http_backend(self.path, self._environment, request, below, user)

    def contains(self, branch: str, commit: str) -> bool:
        """Whether a commit is on a branch."""
        return self.is_behind(commit, f"refs/heads/{branch}")

    def is_behind(self, commit: str, other: str) -> bool:
        """Whether a commit is another one or one of its ancestors. A commit that is not here is none."""
        try:
            self.git("merge-base", "--is-ancestor", commit, other)
        except ForgeGitError:
            return False
        return True

    def _resolved(self, name: str) -> str | None:
        try:
            return self.git("rev-parse", "--quiet", "--verify", "--end-of-options", name)
        except ForgeGitError:
            return None


def http_backend(root: Path, environ: Mapping[str, str], request: Request, below: str, user: str) -> ForgeReply:
    """Answer a request of git by `git http-backend`. `below` is the path below the folder `root`."""
    environment = {
        **environ,
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": below,
        "REMOTE_USER": user,
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": "&".join(f"{name}={value}" for name, value in request.query.items()),
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
    }
    done = subprocess.run(
        ["git", "http-backend"], input=request.body, capture_output=True, check=False, env=environment
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.partition(": ")[::2] for line in head.decode().split("\r\n") if line)
    status = int(headers.pop("Status", "200 OK").split()[0])
    return ForgeReply(status, body, {name.lower(): value for name, value in headers.items()})


def read_push(body: bytes) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return what a push asks for: old commit, new commit and ref of each command, and the push options."""
    commands: list[tuple[str, str, str]] = []
    options: list[str] = []
    sections: list[list[Any]] = [[]]
    at, capabilities = 0, ""
    while at + 4 <= len(body) and len(sections) <= (2 if "push-options" in capabilities else 1):
        size = int(body[at : at + 4], 16)
        if size == 0:
            sections.append([])
            at += 4
            continue
        line, _, after = body[at + 4 : at + size].partition(b"\0")
        capabilities += after.decode(errors="replace")
        sections[-1].append(line.decode(errors="replace").rstrip("\n"))
        at += size
    for line in sections[0]:
        if line.count(" ") == 2:
            old, new, ref = line.split(" ")
            commands.append((old, new, ref))
    if "push-options" in capabilities:
        options = sections[1]
    return commands, options


def declined(refs: Mapping[str, str], lines: Sequence[str]) -> ForgeReply:
    """Return the answer to a push that is declined. `refs` maps each of its refs to git's reason."""
    report = [b"unpack ok\n", *(f"ng {ref} {reason}\n".encode() for ref, reason in refs.items())]
    status = b"".join(map(_packet, report)) + b"0000"
    reply = ForgeReply(200, b"0000", {"content-type": "application/x-git-receive-pack-result"})
    told = with_words(reply, lines)
    return ForgeReply(200, told.body.removesuffix(b"0000") + _packet(b"\x01" + status) + b"0000", reply.headers)


def with_words(reply: ForgeReply, lines: Sequence[str]) -> ForgeReply:
    """Return the answer to a push with lines that git prints after `remote: `."""
    text = "".join(f"{line}\n" for line in lines).encode()
    data = b"".join(_packet(b"\x02" + text[at : at + _BAND]) for at in range(0, len(text), _BAND))
    return ForgeReply(reply.status, reply.body.removesuffix(b"0000") + data + b"0000", reply.headers)


def _packet(data: bytes) -> bytes:
    return b"%04x%b" % (len(data) + 4, data)

"""A change on its way: a working tree that an agent changes, a forge's bare repository, and the steps between them."""

import asyncio
import contextlib
import os
import subprocess
from pathlib import Path

from codex_runner.delivery.push import Update, push, push_lfs
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.repository import Person, open_repository
from codex_runner.delivery.tree import change_on
from codex_runner.domain.delivery import ForgeCredential
from codex_runner.domain.secret import Secret
from codex_runner.git import delivered
from codex_runner.transports.local import LocalTransport
from support.git_http import TOKEN
from support.tree import Workspace

BRANCH = "refs/heads/codex/docs"
ADA = Person("Ada", "ada@example.com")
WHEN = 1_770_000_000.0


def credential(token=TOKEN):
    return ForgeCredential(Secret("FORGE_TOKEN", token))


def over_http(served, night, token=TOKEN):
    return Remote(f"{served.origin}{night.forge.path}", credential(token))


def docs(night):
    """Let the agent change a file and make one, if it has not yet. Returns the change."""
    if night.docs is None:
        night.agent(("docs/a.md", "what the agent wrote\n"), ("docs/new.md", "new\n"))
        night.docs = night.change()
    return night.docs


def cut_after(count, repository):
    """Make a repository cancel its task after so many git commands."""
    attempt = repository.attempt

    async def counted(*arguments, **more):
        nonlocal count
        done = await attempt(*arguments, **more)
        count -= 1
        if not count:
            raise asyncio.CancelledError
        return done

    repository.attempt = counted


class Forge:
    """A bare repository, as a forge has it."""

    def __init__(self, path, *init):
        self.path = path
        self.git("init", "-q", "--bare", "-b", "main", *init, str(path), cwd=path.parent)
        self.git("config", "http.receivepack", "true")

    def git(self, *words, cwd=None, **more):
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.path.parent), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.path, env=environ, check=True, capture_output=True, **more
        )
        return done.stdout.decode(errors="surrogateescape").strip()

    def refs(self):
        """Every branch and record, with its commit."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines if line)

    def tree(self, ref):
        return self.git("rev-parse", f"{ref}^{{tree}}")

    def hook(self, name, text):
        path = self.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


class Night:
    """One working tree, cloned from one forge."""

    def __init__(self, root, *init):
        root.mkdir(exist_ok=True)
        self.root = root
        self.work = Workspace(root, *init)
        self.forge = Forge(root / "forge.git", *init)
        self.publish()
        self.fetched = 0
        self.docs = None

    def publish(self):
        """Push the working tree's commit to the forge's main."""
        self.work.git("push", "-q", "--no-verify", str(self.forge.path), "HEAD:refs/heads/main")

    def use_lfs(self):
        """Let Git LFS have all files `*.bin`, here and at the forge."""
        self.work.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        for key, value in {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f"}.items():
            self.work.git("config", f"filter.lfs.{key}", value)
        self.work.git("add", "-A")
        self.work.git("commit", "-q", "-m", "lfs")
        self.publish()

    @property
    def runs(self):
        return self.root / "runner-state" / "runs"

    def pack(self):
        """Compare the tree with the snapshot, find the changes, and pack them."""
        self.work.changes()
        return self.on_host(lambda host: delivered.pack(host, self.work.before))

    def fetch(self, packed):
        self.fetched += 1
        into = self.root / f"fetched-{self.fetched}"
        into.mkdir(mode=0o700)
        return self.on_host(lambda host: delivered.fetch(host, packed, into))

    def change(self):
        return self.fetch(self.pack())

    def on_host(self, work):
        return asyncio.run(work(LocalTransport(self.work.environ)))

    def agent(self, *files, **named):
        """Take the snapshot, and write these files as the agent would."""
        self.work.snapshot()
        for name, text in (*files, *named.items()):
            self.work.write(name, text)

    def later(self, *files, ref="main", message="later"):
        """Commit these files to a branch of the forge, as another person would. Returns the commit."""
        elsewhere = self.root / f"elsewhere-{len(list(self.root.iterdir()))}"
        self.forge.git("clone", "-q", "-b", ref, str(self.forge.path), str(elsewhere), cwd=self.root)
        for name, text in files:
            path = elsewhere / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.forge.git("add", "-A", cwd=elsewhere)
        person = ("-c", "user.name=Bob", "-c", "user.email=bob@example.com")
        self.forge.git(*person, "commit", "-q", "-m", message, cwd=elsewhere)
        self.forge.git("push", "-q", "origin", f"HEAD:refs/heads/{ref}", cwd=elsewhere)
        return self.forge.git("rev-parse", f"refs/heads/{ref}")

    @contextlib.asynccontextmanager
    async def opened(self, remote, like="", **more):
        environ = {**self.work.environ, "USER": os.environ.get("USER", "root")}
        async with open_repository(remote, environ, self.runs, like=like, **more) as repository:
            yield repository

    def remote(self):
        return Remote(str(self.forge.path))

    async def deliver(self, change, remote=None, *, expected="", ref=BRANCH, base="main", options=(), cut=0, **more):
        """Do every step of a delivery. Returns the commit, and what the push says. `cut`: after so many commands."""
        async with self.opened(remote or self.remote(), like=change.base, **more) as repository:
            if cut:
                cut_after(cut, repository)
            tip = await repository.fetch_base(base, change.base)
            await repository.take(change)
            made = await change_on(repository, change, tip)
            commit = await repository.commit(made.tree, tip, "A change\n", author=ADA, committer=ADA, when=WHEN)
            await push_lfs(repository, change)
            return commit, await push(repository, [Update(ref, expected, commit)], options=options)

    def delivered(self, change, remote=None, **more):
        return asyncio.run(self.deliver(change, remote, **more))

    def cut(self, change, *, after):
        """Deliver, and be cancelled after so many git commands. Raises StopIteration if there are not so many."""
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self.deliver(change, cut=after))
            raise StopIteration

    @property
    def left_over(self):
        """What deliveries have left in the runner's folder for temporary files."""
        return [path for path in Path(self.runs).rglob("*") if path.name != ".scratch"]

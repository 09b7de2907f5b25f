"""A working tree that a test does things to, between one look at it and the next."""

import asyncio
import os
import subprocess

from codex_runner.git import changes as git_changes
from codex_runner.transports.local import LocalTransport

RUN = "20260102T030405Z-docs-0a1b2c3d"


class Workspace:
    """A repository, a host's home, and a transport to them."""

    def __init__(self, root, *init):
        self.top, self.home = root / "repo", root / "home"
        self.top.mkdir()
        self.home.mkdir()
        (self.home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.com\n")
        self.environ = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        self.git("init", "-q", "-b", "main", *init)
        for name in ("README.md", "docs/a.md", "src/app.py"):
            self.write(name, f"first line of {name}\nsecond line\nthird line\n")
        self.write(".gitignore", "build/\n*.log\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "begin")
        self.before = None

    def git(self, *words, cwd=None, **more):
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.top, env=self.environ, check=True, capture_output=True, **more
        )
        return done.stdout

    def write(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def snapshot(self, cwd=None, **more):
        host = LocalTransport(self.environ)
        self.before = asyncio.run(git_changes.snapshot(host, str(cwd or self.top), RUN, **more))
        return self.before

    def changes(self):
        return asyncio.run(git_changes.changes(LocalTransport(self.environ), self.before))

    def changed(self):
        return {change.path: change for change in self.changes().changed}

    def kinds(self):
        return {path: change.kind.value for path, change in self.changed().items()}

    def patch(self):
        return asyncio.run(git_changes.patch(LocalTransport(self.environ), self.before))

    @property
    def scratch(self):
        return self.home / ".local/state/codex-runner/runs" / RUN / "git"

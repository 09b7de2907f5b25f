"""A project whose job runs on another host, and a watch over everything that could tell its token meanwhile."""

import re
import subprocess
import threading
from pathlib import Path

import tomli_w

from support.runs import JOB, Project, tree, wait_for
from support.sshd import Sshd

HELLO = {
    "prompt": "SCN:patch_add",
    "sandbox": "workspace-write",
    "artifacts": ["hello.txt"],
    "checks": [{"name": "greeting", "run": "grep -q world hello.txt && echo it is there"}],
}


class FarProject(Project):
    """A project here, and an account on a host of its own that a real sshd serves: its home, its state, its repository.

    `environ` is the runner's, without the account's folders. The token is an access token, about which codex first
    asks the service. `options` are lines of the server's configuration, `extra` of the client's.
    """

    grace = 3.0

    def __init__(self, scratch, state, codex, service, *, options=(), extra=(), environment=None):
        self.account = state / "account"
        self.workspace = state / "workspace"
        for folder in (self.account, self.workspace, state / "tmp"):
            folder.mkdir(parents=True)
        repository(self.workspace)
        self.extra = extra
        self.sshd = Sshd(
            scratch / "sshd",
            options=options,
            environment={
                "HOME": self.account,
                "XDG_STATE_HOME": state,
                "TMPDIR": state / "tmp",
                **(environment or {}),
            },
        )
        self.ssh_config = self.sshd.client_config(scratch / "ssh_config", self.sshd.port, *extra)
        self.sshd.__enter__()
        super().__init__(scratch, state, codex, service)

    def configure(self, *, codex=None, **job):
        """Write codex-runner.toml anew: one job on the host with these keys."""
        self.environ["XDG_STATE_HOME"] = str(self.scratch / "state")
        self.key = "at-" + self.key.removeprefix("key-").removeprefix("at-")
        self.service.accept({self.key})
        setup = self.service.with_access_token(self.key)
        self.environ["CODEX_ACCESS_TOKEN"] = setup.environment.pop("CODEX_ACCESS_TOKEN")
        self.environ = {name: value for name, value in self.environ.items() if not name.startswith("CODEX_RUNNER_")}
        defaults = {
            "prompt": "SCN:hi",
            "host": self.sshd.alias,
            "cwd": str(self.workspace),
            "retry": {"attempts": 1},
            "budget": {"tokens": 10**9},
            "i_understand": True,
            "credential": {"source": "env", "allow_unexpiring": True},
        }
        settings = {
            "version": 1,
            "ssh_config": str(self.ssh_config),
            "codex": {"config": setup.config, "env": setup.environment},
            "hosts": {self.sshd.alias: {"codex": self.codex["path"]}} if self.codex.get("path") else {},
            "jobs": {JOB: {**defaults, **job}},
        }
        (self.cwd / "codex-runner.toml").write_text(tomli_w.dumps(settings))

    def go_elsewhere(self):
        """Be another machine from now on: another folder, with the configuration and without the runs."""
        configuration = (self.cwd / "codex-runner.toml").read_text()
        self.cwd = self.scratch / "elsewhere"
        self.cwd.mkdir()
        (self.cwd / "codex-runner.toml").write_text(configuration)
        self.out = self.cwd / "codex-runner-out"

    def check_nothing_is_left(self, *, grace=None):
        """Nothing here, nothing there: no process, no connection, no file but what the agent made."""
        wait_for(lambda: not self.sshd.sessions())
        super().check_nothing_is_left(grace=grace)
        # codex keeps a lock for all runs of an account there.
        left = [path for path in (self.state / "tmp").iterdir() if not path.name.startswith("codex-bwrap-")]
        assert left == [], f"temporary files are left: {left}"
        runs = self.scratch / "state" / "codex-runner" / "runs"
        assert [*runs.glob("[!.]*"), *runs.glob(".scratch/*")] == [], "the runner's own machine has a run directory"

    def close(self):
        super().close()
        self.sshd.__exit__()


def repository(folder):
    """Make a git repository with one commit."""
    (folder / "README").write_text("read me\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", folder, *command], check=True)


class Lookout:
    """Looks again and again, for as long as a run takes, at every command line and at every file of a project's."""

    def __init__(self, project):
        self.project = project
        self.told = []
        self.sockets = set()
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        key = self.project.key.encode()
        while not self._over.wait(0.02):
            self.rounds += 1
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if key in line:
                    self.told.append(line)
                if str(self.project.ssh_config).encode() in line:
                    self.sockets |= set(re.findall(r"ControlPath=(/[^\0]+)", line.decode(errors="replace")))
            if self.rounds % 10 == 0:
                self.told += [path for path, data in self._files() if key in data]

    def _files(self):
        for folder in (self.project.state, self.project.scratch):
            try:
                yield from tree(folder).items()
            except OSError:  # one of them has just gone
                continue

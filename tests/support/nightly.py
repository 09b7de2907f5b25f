"""A nightly job that delivers to the small forge from a clone of its repository, by whole runs of the command line."""

import os
import shutil
import signal
import subprocess

from support.forge import APP
from support.runs import JOB, RUN_JSON

BRANCH = f"codex/acme/app/{JOB}"
TOKEN = "DELIVERY_TOKEN"  # the variable, not the token


def git(*arguments, cwd=None):
    done = subprocess.run(["git", *map(str, arguments)], cwd=cwd, capture_output=True, check=True)
    return done.stdout.decode().strip()


class Nightly:
    """The job, and its forge. The agent adds hello.txt."""

    def __init__(self, project, forge, token=APP):
        self.project, self.forge, self.token = project, forge, token
        self.tree = getattr(project, "workspace", project.cwd)
        git("init", "--quiet", "--initial-branch=main", cwd=self.tree)
        git("remote", "add", "origin", forge.repository.path, cwd=self.tree)
        self.renew()
        project.environ[TOKEN] = token
        self.configure()

    def configure(self, delivery=None, *, api=None, **job):
        self.project.configure(
            **{
                "prompt": "SCN:patch_add",
                "sandbox": "workspace-write",
                "delivery": {
                    "target": "github",
                    "api": api or self.forge.github_api,
                    "repository": "acme/app",
                    "credential": {"source": "env", "variable": TOKEN, "allow_unexpiring": True},
                    **(delivery or {}),
                },
                **job,
            }
        )

    def renew(self):
        """Make the clone what a nightly job finds: the forge's main, and nothing else."""
        cwd = self.tree
        git("fetch", "--quiet", "origin", cwd=cwd)
        git("reset", "--quiet", "--hard", "origin/main", cwd=cwd)
        git("clean", "-fdxq", "-e", "codex-runner.toml", "-e", "codex-runner-out", cwd=cwd)

    def forget(self):
        """Be another machine: no runs, no state, a fresh clone."""
        shutil.rmtree(self.project.out, ignore_errors=True)
        shutil.rmtree(self.project.state / "codex-runner", ignore_errors=True)
        self.renew()

    def run(self, code=0):
        """Run a night. Returns what run.json says of the delivery."""
        done = self.project.run()
        assert done.code == code, done.stderr[-3000:]
        RUN_JSON.validate(self.project.last.run_json)
        return self.project.last.run_json.get("delivery")

    def branches(self):
        """The branches of the forge beside main."""
        said = self.forge.repository.git("for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
        return [ref.removeprefix("refs/heads/") for ref in said if ref != "refs/heads/main"]

    def check_one(self, branch=BRANCH):
        """There is one branch with the agent's file, and one open pull request, which is about it."""
        assert self.branches() == [branch]
        pulls = self.forge.project.pulls
        assert [(pull.branch, pull.state) for pull in pulls] == [(branch, "open")]
        assert self.forge.repository.git("show", f"{branch}:hello.txt") == "hello\nworld"
        assert pulls[0].tip == self.forge.repository.tip(branch)

    def killed_at(self, number, *, after):
        """Run a night whose runner is killed at this request to the forge, before or `after` it is done.

        Returns False if there is no such request.
        """
        answer, came, running = self.forge.answer, 0, None

        def fatal(*request):
            nonlocal came
            came += 1
            if came != number:
                return answer(*request) if came < number else None
            reply = answer(*request) if after else None
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait()
            return reply

        self.forge.answer = fatal
        try:
            running = self.project.start("run", JOB)
            running.wait()
        finally:
            self.forge.answer = answer
        return came >= number

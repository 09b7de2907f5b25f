"""Where changes arrive: deliveries to the small forge without a run, each by a runner that remembers nothing."""

import asyncio
import os
import subprocess
from dataclasses import replace

from codex_runner.delivery.deliver import Delivery
from codex_runner.delivery.destination import Destination
from codex_runner.delivery.github import GitHubForge
from codex_runner.delivery.gitlab import GitLabForge
from codex_runner.delivery.gitlab_job import USER, GitLabJobForge
from codex_runner.delivery.http import ForgeEndpoint
from codex_runner.delivery.remote import Remote
from codex_runner.delivery.text import Words
from codex_runner.domain.delivery import ForgeCredential, ForgeKind
from codex_runner.domain.delivery_spec import DeliverySpec
from codex_runner.domain.secret import Secret
from support.forge import APP, PROJECT, Time, change

WORKFLOW, BRANCH = "acme/app/docs", "codex/docs"
WHEN = 1_770_000_000.0


class Killed(BaseException):
    """The runner is gone."""


class Shore:
    """One workflow's deliveries. `spec` has the settings of its job."""

    def __init__(self, forge, folder, kind=ForgeKind.GITHUB, token=None, *, plain=None, **spec):
        self.forge, self.folder, self.kind = forge, folder, kind
        self.token = token or (PROJECT if kind is ForgeKind.GITLAB else APP)
        self.spec = DeliverySpec(**{"branch": BRANCH, **spec})
        self.plain, self.workflow, self.watched, self.base = plain, WORKFLOW, (), None
        self.made, self.reached = 0, None
        self.time = Time()

    @property
    def is_job(self):
        return self.token.startswith("glcbt-")

    def change(self, files, modes=None, base="main"):
        """Return the change of an agent that left these files: see support.forge.change."""
        found, _ = change(self.forge, files, modes, base)
        self.made += 1
        pack = self.folder / f"pack-{self.made}"
        repository = self.forge.repository
        with pack.open("wb") as file:
            subprocess.run(
                ["git", "-C", repository.path, "pack-objects", "--revs", "--quiet", "--stdout"],
                input=f"{found.tree}\n^{found.base}^{{tree}}\n".encode(),
                stdout=file,
                check=True,
            )
        return replace(found, pack=pack)

    def client(self):
        credential = ForgeCredential(Secret("FORGE_TOKEN", self.token))
        if self.kind is ForgeKind.GITHUB:
            return GitHubForge(ForgeEndpoint(self.forge.github_api), credential, "acme/app", self.time.timing)
        kind = GitLabJobForge if self.is_job else GitLabForge
        return kind(ForgeEndpoint(self.forge.gitlab_api), credential, "acme/app", self.time.timing)

    def destination(self):
        if self.kind is ForgeKind.GIT:
            remote, client = self.plain or Remote(str(self.forge.repository.path)), None
        else:
            user = "oauth2" if self.kind is ForgeKind.GITLAB else "x-access-token"
            user = USER if self.is_job else user
            remote = Remote(self.forge.git_url, ForgeCredential(Secret("FORGE_TOKEN", self.token), user))
            client = self.client()
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        runs = self.folder / "runner-state" / "runs"
        return Destination(
            self.kind,
            remote,
            client,
            "acme/app",
            self.base,
            self.spec.branch,
            self.workflow,
            environ,
            runs,
            self.watched,
        )

    async def ask(self):
        destination = self.destination()
        try:
            return await Delivery(destination, self.spec).check()
        finally:
            if destination.forge is not None:
                await destination.forge.aclose()

    def check(self):
        """Ask what is asked before the agent."""
        return asyncio.run(self.ask())

    async def land(self, change, run="run-1", summary="Wrote the docs."):
        destination = self.destination()
        delivery = Delivery(destination, self.spec)
        try:
            words = Words(self.workflow, "docs", run, summary, "hello.txt")
            return await delivery.deliver(change, words, when=WHEN)
        finally:
            self.reached = delivery.reached
            if destination.forge is not None:
                await destination.forge.aclose()

    def deliver(self, change, run="run-1", **more):
        return asyncio.run(self.land(change, run, **more))

    def killed_at(self, number, change, run="run-1", *, after):
        """Deliver, and be killed at this request, before or `after` it is done. Returns False if there is none."""
        answer, came, fatal = self.forge.answer, 0, False

        async def until_then():
            nonlocal came, fatal
            loop, working = asyncio.get_running_loop(), asyncio.ensure_future(self.land(change, run))

            def answered(*request):
                nonlocal came, fatal
                came += 1
                if came < number:
                    return answer(*request)
                first, fatal = not fatal, True
                reply = answer(*request) if after and first else None
                if first:  # once: a cancellation in the middle of another one leaves pipes open
                    loop.call_soon_threadsafe(working.cancel)
                return reply and None

            self.forge.answer = answered
            await asyncio.wait({working})
            if not working.cancelled():
                working.result()

        try:
            asyncio.run(until_then())
        finally:
            self.forge.answer = answer
        return fatal

    @property
    def branches(self):
        said = self.forge.repository.git("for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
        return [ref.removeprefix("refs/heads/") for ref in said if ref != "refs/heads/main"]

    @property
    def pulls(self):
        return [(pull.number, pull.branch, pull.state) for pull in self.forge.project.pulls]

    def shown(self, path, branch=BRANCH):
        return self.forge.repository.git("show", f"{branch}:{path}")

    def check_one(self, number=1):
        """There is one branch, and one open pull request, which is about it."""
        assert self.branches == [BRANCH]
        if self.kind is not ForgeKind.GIT:
            assert self.pulls == [(number, BRANCH, "open")]
            assert self.forge.project.pull(number).tip == self.forge.repository.tip(BRANCH)
            assert self.forge.project.closed_by_the_forge == []

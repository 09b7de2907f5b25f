"""Each example of a workflow logs in with exactly what its page's `vault setup` makes, and nothing else does."""

from __future__ import annotations

import re
import shlex
import time

import pytest
from support import commands
from support.newcomer import DOCS, blocks, section

from codex_runner.demo.issuer import github_claims
from codex_runner.domain.credential import CredentialSpec, JwtAuth
from codex_runner.domain.errors import CredentialError
from codex_runner.engine.credential_rules import CredentialUse

pytestmark = pytest.mark.needs_vault

WORKFLOWS = DOCS.parent / ".github" / "workflows"
REPOSITORY, MAIN = "acme/app", "refs/heads/main"


def setups(text):
    """The commands of a page that set Vault up, by the last part of the workflow's name."""
    lines = [line for language, block in blocks(text) if language == "sh" for line in block.splitlines()]
    found = [shlex.split(line.partition(" #")[0]) for line in lines if line.startswith("codex-runner vault setup ")]
    return {words[words.index("--workflow") + 1].rpartition("/")[2]: words[3:] for words in found}


EXAMPLES = setups(section("github-actions", "Examples"))


def on(text):
    """The events that start a workflow."""
    return re.findall(r"^  (\w+):", text.partition("\non:\n")[2].partition("\n\n")[0], re.MULTILINE)


def claims_of(name):
    """What GitHub says of each of the ways in which the example starts, by the file itself."""
    text = (WORKFLOWS / f"{name}.yml").read_text()
    environment = re.search(r"^    environment: (\S+)$", text, re.MULTILINE)
    refs = {"push": "refs/tags/v1.4.0", "pull_request": "refs/pull/9/merge"}
    for event in on(text):
        ref = refs.get(event, MAIN)
        yield github_claims(
            REPOSITORY,
            f".github/workflows/{name}.yml",
            event_name=event,
            ref=ref,
            ref_type="tag" if event == "push" else "branch",
            base_ref="main" if event == "pull_request" else "",
            environment=environment and environment[1],
            workflow_ref=f"{REPOSITORY}/.github/workflows/{name}.yml@{ref}",
        )


class Example:
    """An example's role, made by its page's command."""

    def __init__(self, name, server, issuer, folder, place):
        self.name, self.server, self.issuer, self.folder, self.place = name, server, issuer, folder, place
        self.mount = f"jwt-{name}-{place.name}"
        given = ["--repository-id", "4711", "--issuer", issuer.url, "--jwt-mount", self.mount, "--apply"]
        environ = {"HOME": str(folder), "VAULT_ADDR": server.address, "VAULT_TOKEN": server.root_token.reveal()}
        said = commands.run("vault", "setup", *EXAMPLES[name], *given, cwd=folder, environ=environ)
        assert said.code == 0, said.stderr
        self.role = re.search(r'role = "(.*?)"', said.stderr)[1]
        self.path = place.path = f"{REPOSITORY}/{name}"
        place.put(workflow=self.path)

    def borrow(self, claims, try_to_borrow):
        settings = self.place.settings(JwtAuth(self.role, mount=self.mount, token_variable="J"))
        occasion = CredentialUse(workflow=self.path, timeout=60.0, now=time.time())
        given = {"J": self.issuer.sign(claims).reveal()}
        return try_to_borrow(self.place, settings, given, spec=CredentialSpec(path=self.path), occasion=occasion)


@pytest.fixture
def example(server, issuer, tmp_path, place):
    return lambda name: Example(name, server, issuer, tmp_path, place)


def test_every_example_has_its_setup_and_its_variable():
    files = {path.stem for path in WORKFLOWS.glob("*.yml") if "An example to copy" in path.read_text()}
    assert files == set(EXAMPLES)
    page = section("github-actions", "Examples")
    for name in files:
        variable = f"CODEX_ROLE_{name.upper().replace('-', '_')}"
        assert f"vars.{variable} }}}}" in (WORKFLOWS / f"{name}.yml").read_text()
        assert f"`{variable}`" in page


STRANGE = {  # what each role must not let in, beside what belongs to another example
    "nightly-docs": [{"workflow_ref": f"{REPOSITORY}/.github/workflows/nightly-docs.yml@refs/tags/v1.4.0"}],
    "release-notes": [
        {"ref_type": "branch"},
        {"event_name": "workflow_dispatch"},
        {"workflow_ref": f"{REPOSITORY}/.github/workflows/release-notes.yml@refs/tags/x1"},
        {"workflow_ref": f"{REPOSITORY}/.github/workflows/release-notes.yml@refs/heads/v1"},
        {"workflow_ref": f"{REPOSITORY}/.github/workflows/other.yml@refs/tags/v1.4.0"},
        {"repository_id": "47110"},
    ],
    "review": [
        {"environment": None},
        {"environment": "production"},
        {"event_name": "pull_request_target"},
        {"base_ref": "next"},
        {"workflow_ref": f"{REPOSITORY}/.github/workflows/review.yml@{MAIN}"},
        {"workflow_ref": f"{REPOSITORY}/.github/workflows/other.yml@refs/pull/9/merge"},
    ],
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_example_borrows_its_token_with_its_own_role_alone(example, try_to_borrow, name):
    example = example(name)
    good = list(claims_of(name))
    assert good
    for claims in good:
        outcome = example.borrow(claims, try_to_borrow)
        assert outcome.error is None, outcome.text
        assert outcome.guards["vault-revocation"].passed
    others = [claims for other in EXAMPLES if other != name for claims in claims_of(other)]
    for claims in others + [good[0] | changes for changes in STRANGE[name]]:
        refused = example.borrow({key: value for key, value in claims.items() if value is not None}, try_to_borrow)
        assert isinstance(refused.error, CredentialError)
        assert "refused to log in with jwt" in refused.error.message


def test_the_lister_looks_over_all_tokens_and_reads_none(example, server, issuer, tmp_path, try_to_borrow):
    """By the example's own step, as it stands."""
    example = example("token-expiry")
    (step,) = re.findall(
        r"^        run: (codex-runner token check.*)$", (WORKFLOWS / "token-expiry.yml").read_text(), re.MULTILINE
    )
    config = 'version = 1\n[vault]\nauth = { method = "approle", role = "x" }\n[jobs.docs]\nprompt = "x"\n'
    (tmp_path / "codex-runner.toml").write_text(config)
    claims = next(claims_of("token-expiry"))
    environ = issuer.environment(claims) | {"HOME": str(tmp_path), "VAULT_ADDR": server.address, "ROLE": example.role}
    words = shlex.split(step.replace("$ROLE", example.role))
    assert words[0] == "codex-runner"
    mount = ["--set", f'vault.auth.mount="{example.mount}"', "--prefix", REPOSITORY]
    said = commands.run(*words[1:], *mount, cwd=tmp_path, environ=environ)
    assert said.code in {0, 4}, said.stderr  # other tests' tokens are in the mount too
    assert example.path in said.stdout
    outcome = example.borrow(claims, try_to_borrow)
    assert isinstance(outcome.error, CredentialError)
    assert "has no right to it" in outcome.error.message


GITLAB = {
    "project_id": "42",
    "project_path": REPOSITORY,
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
    "pipeline_source": "schedule",
    "sub": f"project_path:{REPOSITORY}:ref_type:branch:ref:main",
}


@pytest.mark.parametrize("page", ["github-actions", "gitlab-ci", "vault"])
def test_the_login_that_a_page_makes_lets_its_workflow_in(server, issuer, tmp_path, place, try_to_borrow, page):
    """The first command of each page that has an identity for its pipelines; AppRole's are followed elsewhere."""
    text = (DOCS / f"{page}.md").read_text()
    name, words = next(iter(setups(text).items()))
    mount = f"jwt-{page}-{place.name}"
    given = ["--issuer", issuer.url, "--jwt-mount", mount, "--apply"]
    given += [] if page == "gitlab-ci" else ["--repository-id", "4711"]
    words = words[: words.index("--format")] if "--format" in words else words
    environ = {"HOME": str(tmp_path), "VAULT_ADDR": server.address, "VAULT_TOKEN": server.root_token.reveal()}
    said = commands.run("vault", "setup", *words, *given, cwd=tmp_path, environ=environ)
    assert said.code == 0, said.stderr
    role = re.search(r'role = "(.*?)", mount', said.stderr)[1]
    if page == "vault":
        assert role in text
    place.path = f"{REPOSITORY}/{name}"
    place.put(workflow=place.path)
    claims = GITLAB if page == "gitlab-ci" else github_claims(REPOSITORY, f".github/workflows/{name}.yml")
    settings = place.settings(JwtAuth(role, mount=mount, token_variable="J"))
    occasion = CredentialUse(workflow=place.path, timeout=60.0, now=time.time())
    jwt = {"J": issuer.sign(claims).reveal()}
    outcome = try_to_borrow(place, settings, jwt, spec=CredentialSpec(path=place.path), occasion=occasion)
    assert outcome.error is None, outcome.text

"""The demo's world: a scratch project, a scripted model service, a Vault with one token for one workflow, a forge."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import TokenAuth, VaultSettings
from codex_runner.domain.secret import Secret
from codex_runner.engine.bounded import StopFlag
from codex_runner.transports.directory import state_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from codex_runner.demo.forge import SmallForge
    from codex_runner.demo.model import ModelService

REPOSITORY = "acme/spacing"
FORGE_TOKEN = "DEMO_FORGE_TOKEN"  # noqa: S105 - a variable's name
WORKFLOW_FILE = ".github/workflows/release-notes.yml"
_MONTH = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """What runs during the demo. `environ` is what a pipeline's step would have; `token` is the agent's.

    `forge` has the repository that the run delivers to, and opens it for `forge_token`.
    """

    config: Path
    job: str
    project: Path
    environ: Mapping[str, str]
    model: ModelService
    token: Secret
    forge: SmallForge
    forge_token: Secret
    audit: Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def demo_world(scratch: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> Iterator[DemoWorld]:
    """Set everything up in `scratch`, with a line for each step. All of it has ended when the `with` ends."""
    from codex_runner.demo.forge import SmallForge
    from codex_runner.demo.forge_state import Token
    from codex_runner.demo.git_project import JOB, make_project
    from codex_runner.demo.issuer import NOT_OF_THE_JOB, Issuer, github_claims
    from codex_runner.demo.model import ModelService
    from codex_runner.demo.vault import VaultServer

    token = Secret("CODEX_ACCESS_TOKEN", f"at-demo-{secrets.token_urlsafe(24)}")
    workflow = f"{REPOSITORY}/{JOB}"
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(ModelService("release_notes", bearers={token.reveal()}))
        say(f"a scripted model service listens on {model.url}; it accepts one token, made for this demo")
        server = stack.enter_context(VaultServer())
        issuer = stack.enter_context(Issuer(server))
        role = _set_up_vault(server.address, server.root_token, issuer.url, workflow, token)
        say(f"a Vault (OpenBao) listens on {server.address}; the token lies at codex/{workflow}, for 30 days")
        say(f"role {role} may read it, and only from {WORKFLOW_FILE} of {REPOSITORY} on main")
        forge_token = Secret(FORGE_TOKEN, f"ghs_{secrets.token_hex(18)}")
        bot = Token("release-notes[bot]", signs=True)
        forge = stack.enter_context(SmallForge(scratch / "forge", {forge_token.reveal(): bot}, repository=REPOSITORY))
        say(f"a small forge, which behaves as GitHub does, listens on {forge.url}; it has the repository {REPOSITORY}")
        setup = model.with_access_token(token.reveal())
        config = make_project(
            scratch,
            vault={"address": server.address, "auth": {"method": "jwt", "role": role}},
            credential={"path": workflow, "min_ttl": "1h"},
            codex={"model": "gpt-5.5", "config": setup.config, "env": _without_token(setup.environment)},
            delivery={
                "target": "github",
                "repository": REPOSITORY,
                "api": forge.github_api,
                "labels": ["documentation"],
                "credential": {
                    "source": "env",
                    "variable": FORGE_TOKEN,
                    "workflow": workflow,
                    "allow_unexpiring": True,
                },
            },
        )
        forge.repository.take_branch(scratch / "project", "main")
        say(f"a scratch repository with a few commits, and its configuration: {config}")
        identity = issuer.environment(github_claims(REPOSITORY, WORKFLOW_FILE))
        pipeline = {**environ, **identity, FORGE_TOKEN: forge_token.reveal()}
        # The variables of a pipeline that runs the demo are not the demo's own.
        for name in ("VAULT_TOKEN", *NOT_OF_THE_JOB):
            pipeline.pop(name, None)
        yield DemoWorld(config, JOB, scratch / "project", pipeline, model, token, forge, forge_token, server.audit)


def forget_changes(run_id: str, environ: Mapping[str, str]) -> None:
    """Remove the changes that this machine keeps for a later delivery: the forge that wants them has ended."""
    from codex_runner.delivery.pack_store import PackStore

    PackStore(state_folder(environ) / "deliveries").remove(run_id)


def _set_up_vault(address: str, root: Secret, issuer: str, workflow: str, token: Secret) -> str:
    """Do what `codex-runner vault setup --apply` and `codex-runner token put` do; return the role's name."""
    from codex_runner.vault.lease import logged_in
    from codex_runner.vault.provision import apply
    from codex_runner.vault.setup import SetupRequest, plan
    from codex_runner.vault.tokens import NewToken, TokenPlace, put

    request = SetupRequest(
        workflow, repository=REPOSITORY, repository_id="4711", workflow_file=WORKFLOW_FILE, issuer=issuer
    )
    now = time.time()
    settings = VaultSettings(address=address, auth=TokenAuth())
    uninterrupted = contextlib.nullcontext(
        StopFlag()
    )  # the login is the demo's own root token: there is nothing to give back
    with logged_in(settings, {"VAULT_TOKEN": root.reveal()}, uninterrupted) as client:
        apply(client, plan(request))
        new = NewToken(token, workflow, "ada@example.com", now, now + _MONTH)
        put(client, TokenPlace(request.mount, workflow), new, now=now)
    return request.name


def _without_token(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != "CODEX_ACCESS_TOKEN"}

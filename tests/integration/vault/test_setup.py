"""What `plan` grants, made on the real server by the API and by the printed script, and all that it must not grant."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess

import pytest

from codex_runner.ci_systems.github import ISSUER
from codex_runner.demo.issuer import github_claims
from codex_runner.demo.vault import find_binary
from codex_runner.domain.credential import AppRoleAuth, JwtAuth, TokenAuth, VaultSettings
from codex_runner.domain.errors import ConfigurationError, CredentialError, SecretStoreError, UsageError
from codex_runner.domain.secret import Secret
from codex_runner.vault import oidc
from codex_runner.vault.client import VaultClient
from codex_runner.vault.faults import VaultRefusal
from codex_runner.vault.provision import apply
from codex_runner.vault.rendering import SetupFormat, render
from codex_runner.vault.setup import AuthMount, KvMount, Policy, Role, SetupRequest, plan

pytestmark = pytest.mark.needs_vault

FILE = ".github/workflows/docs.yml"


def client_of(server, token=None):
    client = VaultClient(VaultSettings(address=server.address, auth=TokenAuth()), {})
    client.use(token or server.root_token)
    return client


@pytest.fixture
def request_(place, issuer):
    """A request for the place's workflow, on a JWT mount of its own that trusts the test's issuer."""
    return SetupRequest(
        workflow=place.path,
        repository="acme/app",
        repository_id="4711",
        workflow_file=FILE,
        issuer=issuer.url,
        jwt_mount=f"jwt-{place.name}",
        approle_mount=f"approle-{place.name}",
    )


@pytest.fixture
def set_up(place, request_):
    with client_of(place.server) as client:
        place.done = apply(client, plan(request_))
    return request_


def borrow_as(place, request, try_to_borrow, token, spec=None):
    settings = place.settings(JwtAuth(request.name, mount=request.jwt_mount, token_variable="J"))
    return try_to_borrow(place, settings, {"J": token.reveal()}, spec=spec)


@pytest.mark.parametrize("event", ["schedule", "push", "workflow_dispatch"])
def test_the_workflow_itself_is_let_in(place, set_up, issuer, try_to_borrow, given_back, event):
    token = issuer.sign(github_claims("acme/app", FILE, event_name=event))
    outcome = borrow_as(place, set_up, try_to_borrow, token)
    assert given_back(place, outcome)
    assert outcome.borrowed.credential.facts.lease_seconds == 300


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": "pull_request_target"},
        {"event_name": "pull_request"},
        {"event_name": "workflow_run"},
        {"workflow_ref": "acme/app/.github/workflows/other.yml@refs/heads/main"},
        {"workflow_ref": f"acme/app/{FILE}@refs/pull/9/merge", "ref": "refs/pull/9/merge"},
        {"workflow_ref": f"acme/app/{FILE}@refs/heads/main2"},
        {"workflow_ref": f"acme/app/{FILE}@refs/heads/feature"},
        {"repository": "acme/app-evil", "repository_id": "4712"},
        {
            "repository": "acme/app-evil",
            "repository_id": "47110",
            "workflow_ref": f"acme/app-evil/{FILE}@refs/heads/main",
        },
        {"repository_id": "4712"},
        {"repository_id": None},
        {"event_name": None},
        {"aud": "https://github.com/acme"},
        {"aud": None},
        {"iss": "https://token.actions.example.com"},
        {"exp": 1_700_000_000},
    ],
)
def test_everybody_else_is_refused(place, set_up, issuer, try_to_borrow, changes):
    token = issuer.sign(github_claims("acme/app", FILE) | changes)
    outcome = borrow_as(place, set_up, try_to_borrow, token)
    assert isinstance(outcome.error, CredentialError)
    assert "refused to log in with jwt" in outcome.error.message
    assert outcome.retries == []


def test_an_environment_is_bound_when_given(place, request_, issuer, try_to_borrow, given_back):
    request = dataclasses.replace(request_, environment="production")
    with client_of(place.server) as client:
        apply(client, plan(request))
    for environment, good in (("production", True), ("staging", False), (None, False)):
        token = issuer.sign(github_claims("acme/app", FILE, environment=environment))
        outcome = borrow_as(place, request, try_to_borrow, token)
        assert given_back(place, outcome) if good else isinstance(outcome.error, CredentialError)


def test_the_runner_may_read_one_newest_version_and_nothing_else(place, set_up, issuer, try_to_borrow):
    token = issuer.sign(github_claims("acme/app", FILE))
    other = dataclasses.replace(place.spec, path="acme/app/other")
    outcome = borrow_as(place, set_up, try_to_borrow, token, spec=other)
    assert isinstance(outcome.error, CredentialError)
    assert "acme/app/other" in outcome.error.message
    place.put(token="at-newer")
    login = place.server.request(
        "POST", f"auth/{set_up.jwt_mount}/login", {"role": set_up.name, "jwt": token.reveal()}
    )["auth"]
    assert login["policies"] == [set_up.name]
    assert login["token_type"] == "service"
    assert login["metadata"]["run_id"] == "9876543210"
    assert login["metadata"]["workflow_ref"].endswith("@refs/heads/main")
    with client_of(place.server, Secret("T", login["client_token"])) as client:
        path = f"/v1/codex/data/{place.path}"
        assert client.call("read", lambda api: api.adapter.get(path))["data"]["data"]["token"] == "at-newer"
        for method, url in [
            ("get", f"{path}?version=1"),
            ("get", f"/v1/codex/metadata/{place.path}"),
            ("list", "/v1/codex/metadata/"),
            ("get", f"/v1/codex/subkeys/{place.path}"),
            ("post", path),
            ("delete", path),
            ("get", "/v1/auth/token/lookup-self"),
            ("post", "/v1/auth/token/create"),
            ("put", "/v1/sys/wrapping/wrap"),
            ("get", "/v1/cubbyhole/x"),
        ]:
            with pytest.raises(VaultRefusal, match=r"403|405"):
                client.call(url, lambda api, m=method, u=url: api.adapter.request(m, u, json={"data": {"x": "y"}}))
        client.call("revoke", lambda api: api.auth.token.revoke_self())


def test_a_put_without_check_and_set_is_refused(place, set_up):
    body = {"data": {"token": "x"}}
    with client_of(place.server) as client, pytest.raises(VaultRefusal, match="check-and-set"):
        client.call("put", lambda api: api.adapter.post(f"/v1/codex/data/{place.path}", json=body))


def test_applying_again_changes_nothing_and_a_foreign_mount_is_left_alone(place, set_up, issuer):
    assert any(line.startswith("enabled jwt") for line in place.done)
    with client_of(place.server) as client:
        assert [line for line in apply(client, plan(set_up)) if line.startswith(("mounted", "enabled"))] == []
        with pytest.raises(ConfigurationError, match="trusts the issuer"):
            apply(client, plan(dataclasses.replace(set_up, issuer=ISSUER)))
        with pytest.raises(ConfigurationError, match="not KV version 2"):
            apply(client, [KvMount("transit-ci-issuer")])
        with pytest.raises(ConfigurationError, match="not approle"):
            apply(client, [AuthMount(set_up.jwt_mount, "approle", {})])


def test_applying_without_the_right_says_so(place, request_):
    token = Secret("T", place.token()["client_token"])
    with client_of(place.server, token) as client, pytest.raises(CredentialError, match="set up sys/"):
        apply(client, plan(request_))


def test_approle_binds_addresses_and_gives_secret_ids_an_end(place, request_, try_to_borrow, given_back):
    request = dataclasses.replace(request_, repository=None, approle_cidrs=("127.0.0.1/32",), secret_id_ttl=3600)
    with client_of(place.server) as client:
        apply(client, plan(request))
    mount = f"auth/{request.approle_mount}/role/{request.name}"
    role_id = place.server.request("GET", f"{mount}/role-id")["data"]["role_id"]
    answer = place.server.request("POST", f"{mount}/secret-id", {})["data"]
    assert answer["secret_id_ttl"] == 3600
    auth = AppRoleAuth(request.name, mount=request.approle_mount, role_id=role_id)
    outcome = try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": answer["secret_id"]})
    assert given_back(place, outcome)
    elsewhere = dataclasses.replace(request, approle_cidrs=("192.0.2.0/24",))
    with client_of(place.server) as client:
        apply(client, plan(elsewhere))
    outcome = try_to_borrow(place, place.settings(auth), {"VAULT_SECRET_ID": answer["secret_id"]})
    assert isinstance(outcome.error, CredentialError)


GITLAB = {
    "project_id": "42",
    "project_path": "acme/app",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
    "pipeline_source": "schedule",
    "pipeline_id": "1",
    "user_login": "ada",
    "sha": "0123",
    "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
}


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"pipeline_source": "web"}, True),
        ({"pipeline_source": "merge_request_event"}, False),
        ({"ref": "main2"}, False),
        ({"ref_protected": "false"}, False),
        ({"ref_type": "tag"}, False),
        ({"project_id": "421"}, False),
    ],
)
def test_gitlab(place, request_, issuer, try_to_borrow, changes, good):
    request = dataclasses.replace(request_, repository=None, gitlab_project="42")
    with client_of(place.server) as client:
        apply(client, plan(request))
    outcome = borrow_as(place, request, try_to_borrow, issuer.sign(GITLAB | changes))
    assert (outcome.error is None) is good, outcome.text


def test_the_printed_script_makes_the_same(request_, own_server, tmp_path):
    request = dataclasses.replace(request_, approle_cidrs=("127.0.0.1/32",))
    steps = plan(request)
    with client_of(own_server) as client:
        apply(client, steps)
    made_by_api = read_back(own_server, steps)
    for step in steps:
        remove(own_server, step)
    script = tmp_path / "setup.sh"
    script.write_text(render(steps, SetupFormat.SH))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "VAULT": str(find_binary()),
        "BAO_ADDR": own_server.address,
        "BAO_TOKEN": own_server.root_token.reveal(),
    }
    for _ in range(2):  # twice: the second time changes nothing
        subprocess.run(["sh", str(script)], env=environment, check=True, capture_output=True, timeout=60)
    assert read_back(own_server, steps) == made_by_api
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, str(script)], check=True, timeout=60)


def run_script(server, folder, request):
    """What `vault setup` prints by default, run as it stands."""
    script = folder / "setup.sh"
    script.write_text(render(plan(request), SetupFormat.SH))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "VAULT": str(find_binary()),
        "BAO_ADDR": server.address,
        "BAO_TOKEN": server.root_token.reveal(),
        "BAO_FORMAT": "json",
    }
    return subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)


KEY = "{issuer}"  # stands for the issuer's own public key


@pytest.mark.parametrize(
    ("mount", "body", "config", "told"),
    [
        ("sys/mounts/kv-{name}", {"type": "kv", "options": {"version": "1"}}, None, "is not KV version 2"),
        ("sys/mounts/kv-{name}", {"type": "transit"}, None, "is not KV version 2"),
        ("sys/auth/jwt-{name}", {"type": "userpass"}, None, "login"),
        ("sys/auth/jwt-{name}", {"type": "jwt"}, {"jwt_validation_pubkeys": [KEY], "bound_issuer": "x"}, "issuer"),
        ("sys/auth/jwt-{name}", {"type": "jwt"}, {"jwt_validation_pubkeys": [KEY]}, "issuer"),
        ("sys/auth/approle-{name}", {"type": "jwt"}, None, "login"),
    ],
)
def test_the_printed_script_refuses_what_apply_refuses(place, request_, issuer, tmp_path, mount, body, config, told):
    """Before either has made anything; and the mount that does not fit stays as it is."""
    request = dataclasses.replace(request_, mount=f"kv-{place.name}", approle_cidrs=("127.0.0.1/32",))
    path = mount.format(name=place.name)
    place.server.request("POST", path, body)
    if config is not None:
        config = json.loads(json.dumps(config).replace(KEY, issuer.public_key.replace("\n", "\\n")))
        place.server.request("POST", f"{path.removeprefix('sys/')}/config", config)
    done = run_script(place.server, tmp_path, request)
    assert done.returncode == 1, done.stderr
    assert told in done.stderr
    with client_of(place.server) as client, pytest.raises(ConfigurationError, match=told):
        apply(client, plan(request))
    for step in plan(request):
        if isinstance(step, Policy) and request.name in step.name:
            with pytest.raises(SecretStoreError):
                place.server.request("GET", f"sys/policies/acl/{step.name}")
    place.server.request("DELETE", path)


def test_the_printed_script_ends_if_it_may_not_look(place, request_, tmp_path):
    """A login that may write and not read would else set another's mount anew."""
    script = tmp_path / "setup.sh"
    script.write_text(render(plan(request_), SetupFormat.SH))
    token = place.token()["client_token"]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VAULT": str(find_binary())}
    environ |= {"BAO_ADDR": place.server.address, "BAO_TOKEN": token}
    done = subprocess.run(["sh", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "permission denied" in done.stderr


def read_back(server, steps):
    made = []
    for step in steps:
        match step:
            case KvMount():
                made.append(server.request("GET", f"{step.path}/config")["data"])
            case Policy():
                made.append(server.request("GET", f"sys/policies/acl/{step.name}")["data"]["policy"])
            case AuthMount():
                made.append(server.request("GET", f"sys/auth/{step.path}")["data"]["type"])
                if step.config:
                    made.append(server.request("GET", f"auth/{step.path}/config")["data"])
            case Role():
                made.append(server.request("GET", f"auth/{step.mount}/role/{step.name}")["data"])
    return made


def remove(server, step):
    match step:
        case KvMount():
            server.request("DELETE", f"sys/mounts/{step.path}")
        case Policy():
            server.request("DELETE", f"sys/policies/acl/{step.name}")
        case AuthMount():
            server.request("DELETE", f"sys/auth/{step.path}")


def test_hcl_and_terraform_say_the_same_policies(request_):
    request = dataclasses.replace(request_, approle_cidrs=("10.0.0.0/8",))
    steps = plan(request)
    policies = [step for step in steps if isinstance(step, Policy)]
    hcl, terraform = render(steps, SetupFormat.HCL), render(steps, SetupFormat.TERRAFORM)
    for policy in policies:
        assert policy.text in hcl
        assert policy.text in terraform
    assert '"event_name" = "schedule,push,workflow_dispatch"' in terraform
    assert "cas_required = true" in terraform
    if binary := shutil.which("terraform"):
        subprocess.run([binary, "fmt", "-"], input=terraform, check=True, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "changes",
    [
        {"workflow": "acme/app/*"},
        {"workflow": "acme/+/docs"},
        {"workflow": "acme/app/{{identity.entity.name}}"},
        {"workflow": 'acme/app" { capabilities = ["sudo"] }'},
        {"workflow": "acme/../sys"},
        {"workflow": "/acme/app"},
        {"repository": "acme/app*"},
        {"workflow_file": ".github/workflows/*.yml"},
        {"ref": "refs/heads/*"},
        {"ref": "refs/heads/main\nHCL"},
        {"environment": "prod*"},
        {"mount": "codex/*"},
        {"audience": "*"},
        {"events": ("*",)},
        {"events": ("pull_request_target",)},
        {"events": ("pull_request",)},
        {"events": ("push, schedule",)},
        {"environment": "a, b"},
        {"environment": "prod "},
        {"ref": "refs/heads/a,b"},
        {"approle_cidrs": ("10.0.0.0/8, 192.0.2.0/24",)},
        {"approle_cidrs": ("somewhere",)},
        {"tag_prefix": "v*"},
        {"tag_prefix": ""},
        {"tag_prefix": "v", "pull_requests": True, "environment": "review"},
        {"pull_requests": True},
        {"pull_requests": True, "environment": "review", "events": ("pull_request", "push")},
        {"repository_id": None},
        {"repository": None},
    ],
)
def test_patterns_and_what_is_missing_are_refused_before_anything_is_made(changes):
    good = SetupRequest(workflow="acme/app/docs", repository="acme/app", repository_id="1")
    plan(good)
    with pytest.raises(UsageError) as raised:
        plan(dataclasses.replace(good, **changes))
    assert raised.value.remedy


def test_names_are_readable_and_never_shared():
    names = {
        SetupRequest(workflow=workflow).name for workflow in ("a-b/c/d", "a/b-c/d", "a/b/c-d", "A/b/c-d", "a.b/c/d")
    }
    assert len(names) == 5
    assert all(name.startswith("codex-a-b-c-d-") for name in names)


def test_the_same_workflow_on_another_mount_has_names_of_its_own(place, request_):
    """And two mounts that are spelled alike share no lister."""
    first = SetupRequest(workflow="acme/app/docs")
    second = dataclasses.replace(first, mount="kv")
    assert first.name == "codex-acme-app-docs-" + first.name[-8:]
    assert second.name.startswith("codex-kv-acme-app-docs-")
    assert dataclasses.replace(first, lister=True).role_name != first.role_name
    listers = [dataclasses.replace(first, mount=mount).lister_name for mount in ("a/b", "a-b", "A/b", "A-b", "a.b")]
    assert len({name.lower() for name in listers}) == 5
    assert first.lister_name == "codex-codex-lister"
    other = dataclasses.replace(request_, mount=f"kv-{place.name}")
    with client_of(place.server) as client:
        apply(client, plan(request_))
        before = read_back(place.server, plan(request_))
        apply(client, plan(other))
    assert read_back(place.server, plan(request_)) == before


def test_githubs_number_of_a_repository_is_asked_for(issuer):
    environment = {"GITHUB_API_URL": f"{issuer.url}/api"}
    with pytest.raises(CredentialError, match="does not know acme/none"):
        oidc.repository_id("acme/none", environment)
    issuer.repositories["acme/app"] = 4711
    assert oidc.repository_id("acme/app", environment) == "4711"


def test_the_role_is_exact(request_):
    (role,) = [step for step in plan(request_) if isinstance(step, Role)]
    assert role.body["bound_claims_type"] == "string"
    assert "*" not in json.dumps(dict(role.body))

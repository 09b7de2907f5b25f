"""The key of audits in a real OpenBao: read with a login that is given back, and never shown."""

import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import commands
from support.past_runs import PastRuns

pytestmark = pytest.mark.needs_vault


def test_a_key_in_vault_signs_and_its_login_ends(place, server, tmp_path):
    runs = PastRuns(tmp_path)
    runs.add()
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    place.put(key=pem)
    password = "the-password-of-a-robot-4711"
    server.request("POST", "sys/auth/userpass-audit", {"type": "userpass"})
    server.request(
        "POST",
        f"auth/userpass-audit/users/{place.name}",
        {"password": password, "token_policies": [place.name], "token_no_default_policy": True},
    )
    settings = {
        "version": 1,
        "vault": {
            "address": server.address,
            "auth": {"method": "userpass", "mount": "userpass-audit", "username": place.name},
            "retry_deadline": "1s",
        },
        "audit": {"key_vault": {"path": place.path}},
        "jobs": {"docs": {"prompt": "p"}},
    }

    def ask(code, **changes):
        (tmp_path / "codex-runner.toml").write_text(tomli_w.dumps(settings | changes))
        environ = {**runs.environ, "VAULT_PASSWORD": password}
        said = commands.run("audit", "last", "--statement", "-", cwd=tmp_path, environ=environ)
        assert said.code == code, said.text
        assert password not in said.text
        assert not any(line in said.text for line in pem.splitlines()[1:-1])
        assert place.logins == [], "a login is left"
        return said

    (signature,) = ask(0).json["signatures"]
    assert len(signature["keyid"]) == 64
    missing = ask(4, audit={"key_vault": {"path": place.path, "field": "other"}})
    assert "no text in its field 'other'" in missing.stderr
    refused = ask(4, audit={"key_vault": {"path": "acme/elsewhere"}})
    assert "audit.key_vault" in refused.stderr
    wrong = ask(3, audit={"key_vault": {"path": place.path, "field": "owner"}})
    assert "no private key" in wrong.stderr

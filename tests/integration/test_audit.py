"""`codex-runner audit`: one real run, and what is made of copies of its folder."""

import base64
import copy
import json
import shutil
import subprocess

import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from support import commands
from support.hostile import obeyed
from support.runs import Project

from codex_runner.demo.model import ModelService

pytestmark = pytest.mark.needs_codex

CI = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ada",
    "GITHUB_EVENT_NAME": "workflow_dispatch",
    "GITHUB_REPOSITORY": "acme/app",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SERVER_URL": "https://github.com",
}


@pytest.fixture(scope="module")
def real_run(codex, tmp_path_factory):
    """The folder of a real run with an artifact and a check, started by a pipeline."""
    home = tmp_path_factory.mktemp("home")
    with ModelService() as service:
        project = Project(tmp_path_factory.mktemp("audit"), home, codex, service)
        project.configure(
            prompt="SCN:patch_add",
            sandbox="workspace-write",
            artifacts=["hello.txt"],
            checks=[{"name": "greeting", "run": "grep -q world hello.txt"}],
        )
        project.git_init()
        project.environ |= CI
        done = project.run()
        assert done.code == 0, done.stderr
        yield done.run.path
        project.close()


class Auditor:
    """Another machine with a copy of the run's folder, without a configuration at first."""

    def __init__(self, folder, original):
        self.folder, self.run = folder, folder / "kept" / original.name
        shutil.copytree(original, self.run)
        self.environ = {"HOME": str(folder)}
        self.pem = ec.generate_private_key(ec.SECP256R1())

    def configure(self, key=None, *, mode=0o600, **audit):
        if key is not None:
            text = key if isinstance(key, bytes) else pem(key)
            (self.folder / "key.pem").write_bytes(text)
            (self.folder / "key.pem").chmod(mode)
            audit["key_file"] = "key.pem"
        settings = {"version": 1, "audit": audit, "jobs": {"docs": {"prompt": "p"}}}
        (self.folder / "codex-runner.toml").write_text(tomli_w.dumps(settings))

    def ask(self, *arguments, code=0):
        said = commands.run("audit", f"{self.run}", *arguments, cwd=self.folder, environ=self.environ)
        assert said.code == code, said.text
        assert "Traceback" not in said.text
        return said

    def document(self, code=0):
        return self.ask("--json", code=code).json

    def edit(self, change):
        """Change each record by a function, as one who edits the file would."""
        path = self.run / "events.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            change(record["event"])
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


def pem(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.fixture
def auditor(real_run, tmp_path):
    return Auditor(tmp_path, real_run)


def matches(document):
    return {each["path"]: each["match"] for each in document["files"]}


def test_each_fact_of_a_run_has_its_source(auditor):
    document = auditor.document()
    assert document["version"] == 1
    assert document["problems"] == []
    values = {f"{part}.{name}": fact for part in ("who", "what", "token", "touched", "held", "logs")
              for name, fact in document[part].items()}  # fmt: skip
    assert values["who.actor"] == {"value": "ada", "source": "events.jsonl record 1, provenance.origin.actor"}
    assert values["who.trigger"]["value"] == "workflow_dispatch"
    assert values["logs.pipeline"]["value"] == "https://github.com/acme/app/actions/runs/7"
    assert values["what.result"]["value"] == "succeeded"
    assert len(values["what.prompt_sha256"]["value"]) == len(values["what.config_sha256"]["value"]) == 64
    assert values["token.kind"]["value"] == "none"
    assert values["touched.permissions"]["value"]["network"] is False
    (blob,) = values["touched.blobs"]["value"]
    original = subprocess.run(
        ["git", "hash-object", auditor.run / "artifacts/hello.txt"], capture_output=True, check=True, text=True
    )
    assert blob == {"path": "a/hello.txt b/hello.txt", "before": "0" * 40, "after": original.stdout.strip()}
    assert [(each["name"], each["outcome"]) for each in values["held.checks"]["value"]] == [("greeting", "passed")]
    assert ("sandbox", "kept") in [(each["name"], each["outcome"]) for each in values["held.guards"]["value"]]
    # What no record proves is not known, in both directions.
    for name in ("what.model", "token.owner", "held.approvals", "touched.delivery_commit"):
        assert values[name] == {"value": None, "source": None}, name
    assert all((fact["value"] is None) == (fact["source"] is None) for fact in values.values())
    assert matches(document)["artifacts/hello.txt"] == matches(document)["run.json"] == "same"
    table = auditor.ask().stdout
    assert "what.model" in table
    assert "not known" in table
    assert "as it is now, sha256" in table  # no record has a digest of the report


def tamper(path):
    path.write_bytes(path.read_bytes() + b"!")


def linked(path):
    """Put a link in its place, to a file with the same bytes."""
    elsewhere = path.replace(path.parents[2] / "elsewhere")
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("do", "path", "match"),
    [
        (lambda run: tamper(run / "artifacts/hello.txt"), "artifacts/hello.txt", "differs"),
        (lambda run: (run / "artifacts/hello.txt").unlink(), "artifacts/hello.txt", "missing"),
        (lambda run: (run / "artifacts/more.txt").write_text("x"), "artifacts/more.txt", "unlisted"),
        (lambda run: (run / "manifest.json").unlink(), "manifest.json", "missing"),
        (lambda run: (run / "manifest.json").write_text("{"), "manifest.json", "differs"),
        (lambda run: tamper(run / "run.json"), "run.json", "differs"),
        (lambda run: (run / "run.json").unlink(), "run.json", "missing"),
        (lambda run: (run / "codex.jsonl").write_bytes(b"{}\n"), "codex.jsonl", "differs"),
        (lambda run: linked(run / "artifacts/hello.txt"), "artifacts/hello.txt", "missing"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_the_run_left_fails_the_command(auditor, do, path, match):
    do(auditor.run)
    auditor.configure(auditor.pem)
    said = auditor.ask("--json", code=1)
    assert matches(said.json)[path] == match
    assert path in said.stderr
    target = auditor.folder / "statement.json"
    refused = auditor.ask("--statement", target, code=2)
    assert "No statement is signed" in refused.stderr
    assert not target.exists()


def test_an_edited_event_is_told_by_run_json(auditor):
    auditor.edit(lambda event: event.update(reason="all is well") if event["kind"] == "run.ended" else None)
    said = auditor.ask("--json", code=1)
    assert "reason" in next(each["why"] for each in said.json["files"] if each["path"] == "run.json")


def test_an_edited_digest_is_told_by_the_file(auditor):
    auditor.edit(lambda event: event.update(sha256="0" * 64) if event["kind"] == "artifact" else None)
    assert matches(auditor.document(code=1))["artifacts/hello.txt"] == "differs"


def test_a_manifest_cannot_lead_out_of_the_folder(auditor):
    (auditor.folder / "kept/secret").write_text("s")
    entry = {"path": "artifacts/../../secret", "size": 1, "sha256": "0" * 64}
    (auditor.run / "manifest.json").write_text(json.dumps({"version": 1, "files": [entry]}))
    document = auditor.document(code=1)
    assert matches(document)["artifacts/../../secret"] == "missing"


def test_a_run_without_a_verdict_is_not_known_where_it_ends(auditor):
    path = auditor.run / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-4]) + lines[-4][:40])  # torn, as by a kill
    (auditor.run / "manifest.json").unlink()
    (auditor.run / "run.json").unlink()
    document = auditor.document(code=1)  # the artifacts that it has kept are in no manifest
    assert document["what"]["result"] == {"value": None, "source": None}
    assert document["who"]["actor"]["value"] == "ada"
    path.write_bytes(lines[0])
    shutil.rmtree(auditor.run / "artifacts")
    document = auditor.document()
    assert document["touched"]["commands"] == {"value": None, "source": None}
    assert "sandbox" in document["held"]["guards_without_outcome"]["value"]


def test_an_older_run_names_no_actor(auditor):
    def older(event):
        event.get("facts", {}).pop("provenance", None)

    auditor.edit(older)
    (auditor.run / "run.json").write_text(
        json.dumps({k: v for k, v in json.loads((auditor.run / "run.json").read_text()).items() if k != "facts"})
    )
    document = auditor.document()
    assert document["who"]["actor"] == document["what"]["codex_runner_version"] == {"value": None, "source": None}


def test_a_damaged_record_ends_what_is_known(auditor):
    path = auditor.run / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
    said = auditor.ask("--json", code=1)
    assert matches(said.json)["events.jsonl"] == "differs"
    assert said.json["what"]["result"]["value"] is None


def test_values_that_no_runner_writes_are_refused(auditor):
    auditor.edit(lambda event: event.update(diffstat=7) if event["kind"] == "changes" else None)
    assert "values that no runner writes" in auditor.ask(code=2).stderr


def test_hostile_words_neither_command_nor_hide(auditor):
    hostile = "\x1b]0;owned\x07\x1b[2J\r::set-output name=a::b\u202e ##[add-mask]x"
    (auditor.run / f"artifacts/\x1b[31m{'x' * 5}").write_text("x")

    def change(event):
        if event["kind"] == "item.completed" and event["item"]["kind"] == "file_change":
            event["item"] = {"kind": "command_execution", "id": "1", "command": hostile, "output": "", "exit_code": 0,
                             "status": "completed"}  # fmt: skip
        if event["kind"] == "run.ended":
            event["reason"] = hostile

    auditor.edit(change)
    auditor.environ |= CI
    said = auditor.ask(code=1)
    assert "\x1b" not in said.text
    assert "\u202e" not in said.text
    assert obeyed(said.text) == []


def test_a_secret_and_an_accessor_in_a_record_are_not_printed(auditor):
    token, accessor, known = "ghp_" + "a1B2" * 9, "hmac-AbCdEf0123456789", "correct-horse-battery-staple-77"

    def change(event):
        if event["kind"] == "run.ended":
            event["reason"] = f"the token {token} and {known}, revoke the login with accessor {accessor}"
        if event["kind"] == "run.prepared":
            event["facts"]["credential"] = {"source": "vault", "place": "codex/a", "owner": known, "accessor": accessor}

    auditor.edit(change)
    auditor.environ["VAULT_TOKEN"] = known
    auditor.configure(auditor.pem)
    for arguments in ((), ("--json",)):
        text = auditor.ask(*arguments, code=1).text
        for secret in (token, accessor, known):
            assert secret not in text
    assert auditor.document(code=1)["token"]["place"]["value"] == "codex/a"


# --- the statement ---------------------------------------------------------------------------------------------------


def verified(data, key):
    """Verify with the library of in-toto's own people, and return the statement."""
    envelope = Envelope.from_dict(copy.deepcopy(data))  # it takes the data apart
    public = SSlibKey.from_crypto(key.public_key(), keyid=data["signatures"][0]["keyid"])
    envelope.verify([public], 1)
    assert data["payloadType"] == "application/vnd.in-toto+json"
    return json.loads(base64.b64decode(data["payload"]))


def test_the_statement_is_signed_and_others_can_verify_it(auditor):
    auditor.configure(auditor.pem)
    target = auditor.folder / "audit.dsse.json"
    said = auditor.ask("--statement", target)
    data = json.loads(target.read_text())
    statement = verified(data, auditor.pem)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:codex-runner:audit:v1"
    manifest = json.loads((auditor.run / "manifest.json").read_text())["files"]
    assert {(each["name"], each["digest"]["sha256"]) for each in statement["subject"]} == {
        (each["path"], each["sha256"]) for each in manifest
    }
    assert statement["predicate"] == auditor.document()
    private = pem(auditor.pem).decode()
    assert not any(line in said.text + target.read_text() for line in private.splitlines()[1:-1])
    with pytest.raises(VerificationError):
        verified({**data, "payload": base64.b64encode(b"{}").decode()}, auditor.pem)
    with pytest.raises(VerificationError):
        verified(data, ec.generate_private_key(ec.SECP256R1()))
    # A run without artifacts and delivery: its records are the subject.
    shutil.rmtree(auditor.run / "artifacts")
    (auditor.run / "manifest.json").unlink()
    (auditor.run / "run.json").unlink()
    path = auditor.run / "events.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    on_stdout = auditor.ask("--statement", "-").json
    assert [each["name"] for each in verified(on_stdout, auditor.pem)["subject"]] == ["events.jsonl"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pem(rsa.generate_private_key(65537, 2048)), "audits are signed with EC P-256"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), "audits are signed with EC P-256"),
        (lambda: pem(ec.generate_private_key(ec.SECP384R1())), "secp384r1"),
        (lambda: pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")), "encrypted"),
        (lambda: b"not a key at all, but quite long", "no private key"),
        (lambda: b"", "is empty"),
    ],
)
def test_a_key_of_another_kind_is_refused_without_a_word_of_it(auditor, make, said):
    text = make()
    auditor.configure(text)
    refused = auditor.ask("--statement", "-", code=3)
    assert said in refused.stderr
    for line in text.decode().splitlines()[1:-1]:
        assert line not in refused.text


def test_a_key_that_others_may_read_is_refused(auditor):
    auditor.configure(auditor.pem, mode=0o644)
    assert "others may read" in auditor.ask("--statement", "-", code=3).stderr


def test_a_key_in_a_variable(auditor):
    auditor.configure(key_variable="SIGNING_KEY")
    assert "SIGNING_KEY" in auditor.ask("--statement", "-", code=3).stderr
    der = auditor.pem.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for value in (pem(auditor.pem).decode(), base64.b64encode(der).decode()):
        auditor.environ["SIGNING_KEY"] = value
        verified(auditor.ask("--statement", "-").json, auditor.pem)


def test_without_a_key_nothing_is_signed(auditor):
    assert "No key signs audits" in auditor.ask("--statement", "-", code=3).stderr
    auditor.configure()
    assert "No key signs audits" in auditor.ask("--statement", "-", code=3).stderr
    auditor.configure(auditor.pem, key_variable="X")
    assert "takes one key" in auditor.ask("--statement", "-", code=3).stderr

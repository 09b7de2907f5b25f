"""Lines that look like credentials: what is searched, what is told of a find, and what is kept out of artifacts."""

import asyncio
import importlib.util
import subprocess

import pytest

from codex_runner.checks.secret_detector import DetectSecrets
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.secret_scan import Added, SecretScan, added_lines, pieces
from codex_runner.redaction.redactor import Redactor

if importlib.util.find_spec("detect_secrets") is None:
    pytest.skip("the scan extra", allow_module_level=True)

AWS_KEY = "AKIA" + "Q7RZ5TNWX2LJVB4C"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLW9mLW5vYm9keQ"


class Memory:
    """A journal that keeps nothing."""

    def append(self, record):
        pass

    def close(self):
        pass


def search(patch, *, patience=300.0, secrets=()):
    recorder = Recorder(RunState(), Memory(), [], Redactor(secrets))
    scan = SecretScan(DetectSecrets(), patience=patience)
    asyncio.run(scan.search(patch, recorder))
    return scan, recorder.state.checks["secret scan"]


def added(name, *texts):
    hunk = "".join(f"+{text}\n" for text in texts)
    return f"diff --git a/{name} b/{name}\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(texts)} @@\n{hunk}".encode()


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True).stdout

    (tmp_path / "notes.md").write_text("".join(f"line {number}\n" for number in range(1, 40)))
    (tmp_path / "gone.md").write_text("+++ b/nothing\n" * 3)
    (tmp_path / "moved.md").write_text("stays\n" * 20)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "begin")
    return tmp_path, git


def test_the_lines_that_git_says_were_added(repository):
    top, git = repository
    lines = (top / "notes.md").read_text().splitlines()
    lines[2:3] = ["++ b/forged.md", "@@ -1 +100 @@", "-- a/forged.md"]
    (top / "notes.md").write_text("\n".join([*lines, "no newline at the end"]))
    (top / "gone.md").unlink()
    (top / "moved.md").rename(top / "with space.md")
    (top / "with space.md").write_text("stays\n" * 20 + "one more\n")
    (top / 'a "quoted"\nnäme').write_text("in a strange place\n")
    (top / "binary").write_bytes(b"\0+++ b/x\n" * 9)
    git("add", "-A")
    patch = git("diff", "--cached", "-M", "--binary", "--full-index")
    assert set(added_lines(patch)) == {
        Added("notes.md", 3, b"++ b/forged.md"),
        Added("notes.md", 4, b"@@ -1 +100 @@"),
        Added("notes.md", 5, b"-- a/forged.md"),
        Added("notes.md", 42, b"no newline at the end"),
        Added("with space.md", 21, b"one more"),
        Added('a "quoted"\nnäme', 1, b"in a strange place"),
    }


@pytest.mark.parametrize(
    ("path", "line", "kind"),
    [
        ("a.py", f"client = connect('{AWS_KEY}')", "AWS Access Key"),
        ("a.py", 'password = "correct horse"  # pragma: allowlist secret', "Secret Keyword"),
        ("package.lock", f'"key": "{AWS_KEY}"', "AWS Access Key"),
        ("a.yaml", "api_key: correct-horse", "Secret Keyword"),
        ("a.md", "postgres://ada:correct-horse@db/app", "Basic Auth Credentials"),
        ("a", f"Bearer {JWT}", "JSON Web Token"),
        ("a.pem", "-----BEGIN OPENSSH PRIVATE KEY-----", "Private Key"),
        ("a.js", "x" * 9000 + f'"{AWS_KEY}"' + "x" * 9000, "AWS Access Key"),
        ("a.js", "f();" * 4000 + 'password = "correct horse";' + "f();" * 4000, "Secret Keyword"),
        ("a.py", "# the password is asked for", None),
        ("a.py", 'password = os.environ["PASSWORD"]', None),
        ("a.yaml", "password: ${PASSWORD}", None),
        ("a.md", "postgres://ada:${PASSWORD}@db/app", None),
        ("a.py", "postgres://ada:{password}@db/app", None),
        ("a.yaml", "password: read(password)", None),
        ("a.txt", '"9c4b5a1f0c2d4e6f8a9b0c1d2e3f405162738495"', None),
    ],
)
def test_what_looks_like_a_credential(path, line, kind):
    _, check = search(added(path, "harmless", line))
    assert check.output == (f"{path}, line 2: looks like a credential ({kind})." if kind else "")
    assert (check.passed, check.exit_code) == ((False, 12) if kind else (True, 0))


def test_only_what_was_added():
    line = f'key = "{AWS_KEY}"'
    patch = f"--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n {line}\n-{line}\n+gone\n".encode()
    assert search(patch)[1].passed


def test_what_was_found_is_nowhere():
    indented, plain = f'  key = "{AWS_KEY}", "at-the-token"', 'password = "correct horse"'
    patch = added("at-the-token.py", indented, plain, "x = 1")
    secret = Secret("TOKEN", "at-the-token")
    scan, check = search(patch, secrets=[secret])
    assert check.output.splitlines()[0] == "***TOKEN***.py, line 1: looks like a credential (AWS Access Key)."
    redact = Redactor([secret])
    masked = b"***secret_scan***"
    assert scan.hide(redact(patch)).splitlines()[-3:] == [b"+" + masked, b"+" + masked, b"+x = 1"]
    file = f"{indented}\n{plain}\nx = 1\n".encode()
    assert scan.hide(redact(file)) == masked + b"\n" + masked + b"\nx = 1\n"


def test_many_finds_are_counted():
    _, check = search(added("a.py", *[f'password = "correct horse {number}"' for number in range(50)]))
    assert len(check.output.splitlines()) == 21
    assert check.output.endswith("\nAnd 30 more.")


def test_what_takes_too_long_is_no_success():
    _, check = search(added("a.py", "x = 1"), patience=-1.0)
    assert not check.passed
    assert check.output.startswith("a.py, line 1, and all after it: not searched")


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 12, 13, 100])
def test_pieces_hold_whatever_is_half_as_long(length):
    line = "".join(chr(ord("a") + number % 26) for number in range(length))
    parts = list(pieces(line, 8))
    assert all(len(part) <= 8 for part in parts)
    assert all(any(line[at : at + 4] in part for part in parts) for at in range(length))


def test_a_detector_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("codex_runner.checks.secret_detector.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as caught:
        DetectSecrets()
    assert "pip install 'codex-runner[scan]'" in caught.value.remedy
